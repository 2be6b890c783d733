"""Tables for spreadsheets: nothing in them runs."""

from __future__ import annotations

import pandas as pd

from mdjpt_platform.predict.write import table_files


def test_labels_and_columns_that_look_like_formulas() -> None:
    table = pd.DataFrame({"start": [0.0], "p_=1": [1 / 3], "label": ["=cmd()"], "+odd": [-1.0]})
    header, row = table_files(table)["windows.csv"].decode().splitlines()
    assert header == "start,p_=1,label,'+odd" and row == "0,0.333333,'=cmd(),-1"
