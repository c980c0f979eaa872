"""The seven emotions in their one order, and how each data set's own codes map into it.

Every index in this project (model outputs, packs, confusion matrices, records) counts in the order of `EMOTIONS`,
which is FER2013's 0-6. Data sets are mapped by name, here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

EMOTIONS: Final[tuple[str, ...]] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

NO_CLASS: Final = None  # what a data set annotates but the seven emotions do not hold (contempt, not a face)

# Data set -> (its own code or folder name -> canonical name). Sources:
#   fer2013          column `emotion` of fer2013.csv (Goodfellow et al. 2013, "Challenges in Representation Learning")
#   fer2013-folders  folder names of Kaggle's msambare/fer2013
#   ferplus          vote columns of fer2013new.csv (Barsoum et al. 2016, github.com/microsoft/FERPlus)
#   rafdb            label column of list_patition_label.txt (Li, Deng & Du 2017, RAF-DB basic emotions): 1 surprise,
#                    2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral; also its Kaggle folder names
#   ckplus           emotion codes of the CK+ release (Lucey et al. 2010)
#   ckplus-csv       emotion codes of the 48-pixel csv edition, ckextended.csv, which counts otherwise than the release
#   ckplus-folders   folder names of the widespread 48-pixel CK+ copies
DATASET_LABELS: Final[Mapping[str, Mapping[str, str | None]]] = MappingProxyType(
    {
        "fer2013": MappingProxyType({str(code): name for code, name in enumerate(EMOTIONS)}),
        "fer2013-folders": MappingProxyType({name: name for name in EMOTIONS}),
        "ferplus": MappingProxyType(
            {
                "neutral": "neutral",
                "happiness": "happy",
                "surprise": "surprise",
                "sadness": "sad",
                "anger": "angry",
                "disgust": "disgust",
                "fear": "fear",
                "contempt": NO_CLASS,
                "unknown": NO_CLASS,
                "NF": NO_CLASS,
            }
        ),
        "rafdb": MappingProxyType(
            {
                "1": "surprise",
                "2": "fear",
                "3": "disgust",
                "4": "happy",
                "5": "sad",
                "6": "angry",
                "7": "neutral",
            }
        ),
        "ckplus": MappingProxyType(
            {
                "0": "neutral",
                "1": "angry",
                "2": NO_CLASS,
                "3": "disgust",
                "4": "fear",
                "5": "happy",
                "6": "sad",
                "7": "surprise",
            }
        ),
        "ckplus-csv": MappingProxyType({**{str(code): name for code, name in enumerate(EMOTIONS)}, "7": NO_CLASS}),
        "ckplus-folders": MappingProxyType(
            {
                "anger": "angry",
                "contempt": NO_CLASS,
                "disgust": "disgust",
                "fear": "fear",
                "happy": "happy",
                "sadness": "sad",
                "surprise": "surprise",
            }
        ),
    }
)
