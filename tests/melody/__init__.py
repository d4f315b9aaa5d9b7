"""A domain as another package would bring it: melodies, files of notes in a folder for each mood."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain("melody", "melodies", "melodies", __name__, {"melody": "notes"})
