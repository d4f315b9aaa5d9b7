# ruff: noqa: E501  # a sentence a line
"""What requirements of other tasks say: a sentence that is nearer to one of these than to its own data is about it.

Written for this purpose, over as many fields as tables, texts and images come from.
"""

from __future__ import annotations

OTHERS = (
    "Classify each flower by the length and width of its sepals and petals into three species of iris.",
    "Predict the numeric value of the price of each house from its floor area, rooms and distance to the sea, a regression.",
    "Classify each loan application as good or bad credit from savings, employment, duration and purpose.",
    "Classify each customer of a phone company as leaving or staying, from contract, tenure and monthly charges.",
    "Classify each patient as having heart disease or not, from age, cholesterol and blood pressure.",
    "Classify each breast tumour as malignant or benign from the radius, texture and concavity of its cell nuclei.",
    "Classify each passenger of a ship as survived or died, from sex, age, fare and class of the cabin.",
    "Classify each person as earning a high or low income, from age, education, occupation and hours worked.",
    "Predict the numeric value of the number of bicycles rented in an hour, from weather, season and time, a regression.",
    "Predict the numeric value of the fuel consumption of each car from cylinders, horsepower and weight, a regression.",
    "Classify each wine by its cultivar from alcohol, malic acid, ash and colour intensity.",
    "Predict the numeric value of the quality of each wine from acidity, sulphates and alcohol, a regression.",
    "Classify each mushroom as edible or poisonous from the shape, colour and smell of its cap and gills.",
    "Classify each bank transaction as fraudulent or genuine from amount, time and merchant.",
    "Predict the numeric value of tomorrow's temperature from pressure, humidity and wind, a regression.",
    "Predict the numeric value of a student's final grade from study time, absences and family, a regression.",
    "Predict the numeric value of the electrical load of a power plant from temperature and vacuum, a regression.",
    "Classify each network connection as an attack or normal traffic from protocol, bytes and duration.",
    "Classify each employee as staying or leaving from salary, satisfaction and years at the firm.",
    "Predict the numeric value of the strength of concrete from cement, water and age, a regression.",
    "Classify each animal by its kind from hair, feathers, eggs, milk and legs.",
    "Classify each play by its musical key from notes, tempo and loudness.",
    "Predict the numeric value of the progression of diabetes from body mass, blood pressure and serum, a regression.",
    "Classify each machine as failing or sound from vibration, temperature and torque of its sensors.",
    "Classify each text message as spam or ham, unwanted advertisement or a message from friends.",
    "Classify each movie review as positive or negative by the opinion that it expresses.",
    "Classify each news article by its topic: world, sports, business or science.",
    "Classify each tweet as hateful, offensive or neither.",
    "Classify each question by the kind of answer that it asks for: a person, a place, a number or an entity.",
    "Classify each e-mail of a customer by the department that should answer it: billing, shipping or support.",
    "Classify each pair of sentences as entailment, contradiction or neutral.",
    "Classify each pair of questions as duplicates or not.",
    "Predict the numeric value of the similarity of two sentences, a regression.",
    "Classify each utterance to a voice assistant by its intent: alarm, music, weather or timer.",
    "Classify each abstract of a scientific paper by its field.",
    "Classify each photograph of a pet as a cat or a dog.",
    "Classify each photograph by the kind of vehicle in it: car, truck, ship or aeroplane.",
    "Classify each scanned handwritten digit by the number from zero to nine that it shows.",
    "Classify each X-ray image of a chest as pneumonia or healthy.",
    "Classify each satellite image by the use of the land: forest, river, road or houses.",
    "Classify each microscope image of a blood cell by its type.",
    "Classify each photograph of a plant's leaf by the disease that it shows.",
    "Classify each drawing or photograph of an object in an office by what it is: desk, chair, mug or pen.",
    "Classify each photograph of a dish by its name.",
)
"""Sentences of other tasks."""

SUBJECTS_TEXT = """
customer, patient, car, house, flower, email, movie review, news article, student, song, photo of an animal, wine,
loan application, bank transaction, employee, city, day of weather, tweet, question, product, galaxy, molecule,
passenger, player, mushroom, website, power plant, country, hotel booking, flight, job advert, cell, handwritten digit,
insurance claim, court case, recipe, household, soil sample, animal, football match, machine, support ticket,
chat message, pair of sentences, photo of a vehicle, plant, text message, scan of an organ, person, shop
"""
SUBJECTS = tuple(subject.strip() for subject in SUBJECTS_TEXT.replace("\n", " ").split(","))
"""What is judged in one task or another."""
