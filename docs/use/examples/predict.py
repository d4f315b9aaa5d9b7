"""Score a row of a table: python predict.py model.onnx '{"age": 39, "workclass": "State-gov"}'"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
card = json.loads(session.get_modelmeta().custom_metadata_map["modelgpt"])
row = json.loads(sys.argv[2])

feeds = {}
for column in card["inputs"]:
    cell = row.get(column["name"])
    if column["type"] in ("numeric", "datetime"):  # dates are days since 1970-01-01; NaN: missing
        feeds[column["input"]] = np.array([[np.nan if cell is None else cell]], dtype=np.float32)
    else:
        feeds[column["input"]] = np.array([["" if cell is None else str(cell)]], dtype=object)

names = [output.name for output in session.get_outputs()]
answers = dict(zip(names, session.run(names, feeds), strict=True))
if "label" in answers:
    print(answers["label"][0], *(f"{p:.4f}" for p in answers["probabilities"][0]))
else:
    print(*(f"{answers[name][0, 0]:.6g}" for name in names))
