from modelgpt_cli.requirement_generator.profile import Vocabulary, common_profile

PROMPT = "table"
ROLES = {"melody": "melody"}
HAS_SHEET = False


def profile(dataset, *, description="", rows=8, seed=0, clean=None):
    return common_profile(dataset, description=description, rows=rows, seed=seed, clean=clean)


def phrases(profile, n_names):
    return f"melody of {profile.name!r}", " as it is whistled" if n_names else ""


def vocabulary(profile):
    return Vocabulary("say how it sounds")
