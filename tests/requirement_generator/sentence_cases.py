# ruff: noqa: E501
"""Sentences that an LLM may write about five small data sets: wrong ones by what is wrong, and right ones."""

from __future__ import annotations

import numpy as np

from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.image.looks import Looks, mark_image
from modelgpt_cli.domains.image.profile import Appearance, ImageProfile
from modelgpt_cli.domains.text.profile import TextProfile
from modelgpt_cli.requirement_generator.profile import Profile

IRIS = Profile(
    "iris",
    150,
    "classification",
    "species",
    (
        Column("sepal_length", "numeric", mean=5.84, std=0.83),
        Column("sepal_width", "numeric", mean=3.06, std=0.44),
        Column("petal_length", "numeric", mean=3.76, std=1.77),
        Column("petal_width", "numeric", mean=1.2, std=0.76),
    ),
    {"setosa": 50, "versicolor": 50, "virginica": 50},
    sample=(
        {"sepal_length": "5.1", "sepal_width": "3.5", "petal_length": "1.4", "petal_width": "0.2", "species": "setosa"},
    ),
)
LOANS = Profile(
    "loans",
    1200,
    "classification",
    "risk",
    (
        Column("credit_amount", "numeric", mean=3271.0, std=2822.0, description="in euros"),
        Column("duration", "numeric", mean=20.9, std=12.1, description="months to pay back"),
        Column("savings", "categorical", levels=("none", "little", "much"), n_levels=3),
        Column("purpose", "categorical", levels=("car", "furniture", "education"), n_levels=3),
        Column("customer_id", "identifier", note="every cell is different"),
    ),
    {"good": 840, "bad": 360},
    sample=(
        {"credit_amount": "2096", "duration": "12", "savings": "little", "purpose": "education", "risk": "good"},
        {"credit_amount": "7882", "duration": "42", "savings": "none", "purpose": "furniture", "risk": "bad"},
    ),
    description="Loans of a German bank: good ones were paid back, bad ones were not.",
)
HOUSES = Profile(
    "houses",
    506,
    "regression",
    "price",
    (
        Column("rooms", "numeric", mean=6.28, std=0.7),
        Column("building_age", "numeric", description="years", mean=68.6, std=28.1),
        Column("distance", "numeric", description="to the five largest employers, in km", mean=3.8, std=2.1),
        Column("by_river", "boolean", levels=("no", "yes"), n_levels=2),
    ),
    {},
    (5.0, 21.2, 50.0),
    sample=({"rooms": "6.575", "building_age": "65.2", "distance": "4.09", "by_river": "no", "price": "24"},),
    description="Prices of houses around a city, in thousands of dollars.",
)
MAILS = TextProfile(
    "tickets",
    300,
    "classification",
    "topic",
    (Column("message", "text", role="text"),),
    {"billing": 120, "delivery": 100, "login": 80},
    sample=(
        {"message": "My parcel was left in the rain outside the wrong door", "topic": "delivery"},
        {"message": "You charged my card twice for the same order in March", "topic": "billing"},
    ),
    description="Messages of customers to the support of a shop.",
    domain="text",
    mean_words=14.0,
)
_GREY = np.full((64, 64, 3), 128, dtype=np.uint8)
_LOOKS = Looks.of([mark_image(_GREY, 64)])
LEAVES = ImageProfile(
    "leaves",
    90,
    "classification",
    "label",
    (Column("image", "image", role="image"),),
    {"healthy": 45, "rust": 45},
    description="Photographs of bean leaves from a field.",
    domain="image",
    images=Appearance(_LOOKS, {}, b"", ("healthy", "rust"), 2),
)

CASES: dict[str, tuple[Profile, dict[str, str], list[str]]] = {
    "iris": (
        IRIS,
        {
            "an invented class": "Classify each iris flower as setosa, versicolor, virginica or canadensis from petal length.",
            "a class left out": "Classify each iris flower into setosa and versicolor from its sepal and petal measurements.",
            "an invented column": "Classify each iris as setosa, versicolor or virginica based on petal length, sepal width and stem height.",
            "another unit": "Classify each iris as setosa, versicolor or virginica from the petal length in centimeters.",
            "a wrong count of columns": "Classify each iris as setosa, versicolor or virginica using 6 features of its flower.",
            "a wrong count of rows": "Classify 300 iris flowers as setosa, versicolor or virginica by petal length and width.",
            "an invented column to judge by": "Classify each iris by sepal colour as setosa, versicolor or virginica.",
            "another target": "Predict the petal width of each iris flower, a class of setosa, versicolor or virginica.",
            "another subject": "Classify each wine as setosa, versicolor or virginica from petal length and sepal width.",
            "swapped labels": "Classify setosa as virginica and virginica as setosa, and versicolor by petal length of the iris.",
            "a negation": "Classify each iris flower, never as setosa, versicolor or virginica, from petal length; do not classify it.",
            "both tasks": "Classify each iris as setosa, versicolor or virginica and predict the numeric value of petal length, a regression.",
            "the prompt's example": "Classify each mushroom of North America as setosa, versicolor or virginica by the shape of its cap, its odour and its habitat.",
            "a limit": "Classify each iris as setosa, versicolor or virginica from petal length in under 10 ms per flower.",
            "a quoted row": "Classify each iris as setosa, versicolor or virginica, for example 5.1, 3.5, 1.4, 0.2 is setosa, by petal length.",
            "another subject of texts": "Classify each customer review of iris as setosa, versicolor or virginica by its sentiment.",
            "an invented threshold": "Classify each iris flower with a petal length above 2.45 as virginica, setosa or versicolor.",
            "a demanded quality": "Classify each iris as setosa, versicolor or virginica with 97% accuracy from petal length and width.",
            "labels explained from nowhere": "Classify each iris as setosa (wild), versicolor (garden) or virginica (hybrid) from petal length.",
        },
        [
            "Classify each iris flower into setosa, versicolor or virginica by the length and width of its sepals and petals.",
            "Classify iris flowers by species (setosa, versicolor, virginica) using sepal length, sepal width, petal length and petal width.",
            "Classify each row, one iris flower, as setosa, versicolor or virginica based on four numeric measurements of sepals and petals.",
            "Classify the species of an iris plant as setosa, versicolor, or virginica from the dimensions of its petals and sepals.",
            "Given the sepal length, sepal width, petal length, and petal width of an iris flower, classify it as setosa, versicolor, or virginica.",
        ],
    ),
    "loans": (
        LOANS,
        {
            "an invented class": "Classify each loan by risk as good, bad or doubtful, from the credit amount, the duration and the savings.",
            "a class left out": "Classify each loan of a bank as good, from the credit amount, the duration and the savings of the customer.",
            "an invented column": "Classify each loan as good or bad from the credit amount, the duration and the income of the customer.",
            "invented names": "Classify each loan as good or bad from credit_amount, duration and num_dependents of the customer.",
            "another unit": "Classify each loan as good or bad from the credit amount in dollars and the duration.",
            "an invented figure": "Classify each loan as good or bad from the credit amount, which is 5000 on average, and the duration.",
            "a wrong count of classes": "Classify each loan into three classes, good and bad, from the credit amount and the duration.",
            "a wrong count of columns": "Classify each loan as good or bad from 7 columns such as the credit amount and the duration.",
            "a wrong count of rows": "Classify each of 5,000 loans as good or bad from the credit amount, the duration and the savings.",
            "another target": "Predict the purpose of each loan, good or bad, from which class its credit amount and duration are.",
            "another subject": "Classify each flower as good or bad by the credit amount, the duration, the savings and the purpose.",
            "swapped labels": "Classify each loan as good (not paid back) or bad (paid back) by classifying good as bad from its duration.",
            "labels explained the other way": "Classify each loan of a bank as bad, meaning good ones, or good, from the credit amount and the duration.",
            "a label explained from nowhere": "Classify each loan as good (approved) or bad (rejected) from the credit amount and the duration.",
            "a negation": "Do not classify the loans as good or bad from the credit amount, the duration or the savings.",
            "both tasks": "Classify each loan as good or bad, and fit a regression of the credit amount on duration and savings.",
            "the other task": "Predict the numeric value of the risk of each loan, a regression between good and bad, from duration.",
            "a limit": "Classify each loan as good or bad from credit amount and duration with a model under 2 MB.",
            "a demanded quality": "Classify each loan as good or bad from credit amount and duration, at least 95 % accurate.",
            "a file format": "Classify each loan as good or bad from credit amount and duration, quantized to int8 in ONNX.",
            "a quoted row": "Classify each loan as good or bad, such as 2096, 12, little, education, from credit amount and duration.",
            "another task altogether": "Classify each iris flower by the length and width of its petals as good or bad, as loans are.",
            "the prompt": "Classify what one row stands for, and what is measured or known of it, as good or bad loan.",
        },
        [
            "Classify each loan of a German bank as good or bad from its credit amount, duration, savings and purpose.",
            "Classify each loan as a good or a bad risk, from the amount of credit in euros and the months to pay it back.",
            "Classify loans by risk, good or bad, using how much credit was asked for, its purpose and the savings.",
            "Classify every loan into good ones, which were paid back, and bad ones, which were not, from amount and duration.",
            "Predict whether a loan of a German bank is good or bad from the credit amount, the duration and the purpose.",
            "Classify each of the 1,200 loans as good or bad, based on 4 columns: credit amount, duration, savings and purpose.",
            "Classify each loan, with a mean credit amount of 3,271 euros, as good or bad by its purpose and the savings.",
            "Decide for each loan which of the two labels, good or bad, it has, given credit_amount, duration and savings.",
            "From the credit amount, the duration and the savings, classify each loan at a German bank as good or bad.",
            "Categorise bank loans as bad or good depending on the purpose (car, furniture or education) and the duration.",
        ],
    ),
    "houses": (
        HOUSES,
        {
            "another target": "Predict the numeric value of the building age of each house, a regression, from rooms and distance.",
            "classes": "Classify each house by its price as cheap or dear, from the rooms, the building age and the distance.",
            "both tasks": "Predict the numeric value of the price of each house, a regression, and classify it by rooms and age.",
            "an invented column": "Predict the numeric value of the price of each house, a regression, from rooms and the crime rate.",
            "an invented range": "Predict the numeric value of the price of each house, a regression between 100 and 900, from rooms.",
            "another unit": "Predict the numeric value of the price of each house in euros, a regression, from rooms and distance in km.",
            "another subject": "Predict the numeric value of the price of each galaxy, a regression, from rooms and building age.",
            "a negation": "Never predict the price of a house; it is not a regression from rooms, building age and distance.",
            "a limit": "Predict the numeric value of the price of each house, a regression, from rooms, within 20 ms on one thread.",
        },
        [
            "Predict the numeric value of the price of each house around a city, a regression, from rooms and building age.",
            "Estimate the price of a house, in thousands of dollars, by regression on its rooms, age and distance to employers.",
            "Predict the numeric value of house prices, a regression between 5 and 50, from the rooms and whether it is by the river.",
            "Predict the price of each of 506 houses, a regression with a median of 21.2, from 3 numeric columns such as rooms.",
        ],
    ),
    "tickets": (
        MAILS,
        {
            "an invented class": "Classify each message of a customer as billing, delivery, returns or login, by its content.",
            "a class left out": "Classify each message of a customer to the support of a shop as billing or delivery.",
            "an invented column": "Classify each message as billing, delivery or login, from its text and the sender's postcode.",
            "a quoted text": "Classify messages such as my parcel was left in the rain outside the wrong door as delivery, billing or login.",
            "another subject": "Classify each movie review as billing, delivery or login, by the message that it has for the viewer.",
            "another task altogether": "Classify each text message as spam or ham, unwanted advertisement from billing, delivery or login.",
            "a negation": "It is impossible to classify the messages of customers as billing, delivery or login.",
        },
        [
            "Classify each message of a customer to the support of a shop by its topic: billing, delivery or login.",
            "Classify messages that customers of a shop write to support as being about billing, delivery or login.",
            "Decide whether a customer's message is about billing, login or delivery, from the words of the message.",
        ],
    ),
    "leaves": (
        LEAVES,
        {
            "an invented class": "Classify each photograph of a bean leaf from a field as healthy, rust or mildew.",
            "a class left out": "Classify each photograph of a bean leaf from a field as healthy, on a plain grey background.",
            "another subject": "Classify each X-ray image of a chest as healthy or rust, a grey scan with soft lighting.",
            "an invented figure": "Classify each of 4,000 photographs of a bean leaf as healthy or rust, taken in a field.",
            "a regression": "Predict the numeric value of the rust on each photograph of a healthy leaf, a regression.",
        },
        [
            "Classify each photograph of a bean leaf, taken in a field, as healthy or rust.",
            "Classify photographs of bean leaves on a grey background as healthy or as having rust.",
            "Decide whether a bean leaf in a photograph from a field is healthy or shows rust, and which of the two it is.",
        ],
    ),
}
