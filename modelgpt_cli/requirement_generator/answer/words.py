"""Words that the checks of a sentence know: what says nothing of the data, what is measured in what, what is denied."""

from __future__ import annotations

import re

_WEAK_TEXT = """
a about after all also among an and any are as at based be been before between but by can categories category
class classes classification classify column columns csv data dataset datasets description each either estimate
every feature features file five for four from given has have if in input inputs into is it its json jsonl label
labels machine may model more most name names no not number numbers numeric of on one only or other out output
outputs over parquet predict predicting regression row rows sample samples set should so such table target
targets task test than that the their them then there these they this three to total train training tsv two txt
type types up used uses using value values was were what when whether which will with xlsx
"""
WEAK = frozenset(_WEAK_TEXT.split())
"""Words that say nothing of what a table is about."""

_PLAIN_TEXT = """
above accompanying across additional aspect aspects associated attribute attributes available background basic behavior
behaviour below both characteristic characteristics combination common compute computed content contents context
corresponding count counts describe described describing detail details details different dimension dimensions
distinct
entire entry entries evidence example examples expressed external fact factors facts field fields fifth figure figures
fine first form found full further general group groups history indicator indicators individual information instance
item items kind kinds known level levels line list listed main many material matter mean meaning measure measured
measurement measurements measures metric metrics nature numerical observation observations observed overall own pair
parameter parameters part particular parts pattern patterns person physical point presence profile properties property
provided quantities quantity range reading readings record recorded records related relevant respective result results
same scale second several shown signal signals single size sizes some specific statistic statistics status stated
structure subject
summary tabular term terms text texts their thing things third two unit units variable variables various
whole wording words written categorical continuous discrete boolean
how much many asked past previous recent late early high low large small long short
"""
PLAIN = WEAK | frozenset(_PLAIN_TEXT.split())
"""And words that describe any data: they need no support."""

COUNTED = {
    "classes": ("class", "category", "categories", "label", "outcome"),
    "columns": (
        "column",
        "feature",
        "measurement",
        "attribute",
        "variable",
        "input",
        "field",
        "predictor",
        "indicator",
    ),
    "rows": ("row", "example", "record", "sample", "instance", "observation", "entr"),
}
"""What is counted → stems of its names."""

_UNITS_TEXT = """
cm: centimetre centimeter cms
mm: millimetre millimeter
km: kilometre kilometer kms
inches: inch
feet: foot ft
miles: mile
yards: yard
kg: kilogram kilogramme kilo kgs
mg: milligram
grams: gram gramme
lbs: lb pound
oz: ounce
tonnes: tonne ton
celsius: °c centigrade
fahrenheit: °f
kelvin: kelvins
dollars: dollar usd $ us$
euros: euro eur €
pounds sterling: gbp £
rupees: rupee inr ₹
yen: jpy ¥
percent: % per_cent percentage percentages
litres: litre liter liters
ml: millilitre milliliter
gallons: gallon
seconds: second sec secs
milliseconds: ms millisecond
minutes: minute mins
hours: hour hrs hr
days: day
weeks: week
months: month
years: year yr yrs
mph: mph
km/h: kmh kph
hpa: hectopascal
mmhg: mmhg
kwh: kwh
watts: watt
hz: hertz
mg/dl: mg/dl
pixels: pixel px
mb: megabyte
kb: kilobyte
gb: gigabyte
"""
UNITS = {
    line.split(":")[0]: frozenset({line.split(":")[0], *line.split(":")[1].replace("_", " ").split()})
    for line in _UNITS_TEXT.strip().splitlines()
}
"""A unit → how else it is written, in the singular."""
_ALWAYS_TEXT = """
centimetre centimeter millimetre millimeter kilometre kilometer inches kilogram milligram celsius fahrenheit kelvin
dollar euro rupee usd eur gbp € £ $ ₹ ¥ % percent mph kwh mmhg litre liter gallon
"""
ALWAYS = frozenset(_ALWAYS_TEXT.split())
"""Words that name a unit wherever they stand; the others do so after a number, "in", "per" or in brackets."""

NEGATION = re.compile(
    r"(?:^|.*\W)(?:not|never|no|nor|neither|cannot|without|avoid|refuse|stop|unable|impossible)$|.*n['’]t$"
)
"""The end of what stands before a word that is denied."""
