"""Whether two files of JSON lines have the same answers: same.py EXPECTED FOUND TOLERANCE

Labels have to be equal, scores and embeddings within TOLERANCE of each other. With `cosine:0.998` embeddings need that
cosine at least, and scores may differ by 0.03, as those of int8 do between instruction sets that round differently.
"""

import json
import math
import sys


def answers(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


def main():
    expected, found = answers(sys.argv[1]), answers(sys.argv[2])
    kind, _, number = sys.argv[3].rpartition(":")
    number = float(number)
    tolerance = 0.03 if kind == "cosine" else number
    if len(expected) != len(found) or not expected:
        sys.exit(f"{len(expected)} answers expected, {len(found)} found")
    worst, least = 0.0, 1.0
    for one, other in zip(expected, found):
        if one.get("label") != other.get("label"):
            sys.exit(f"label {other.get('label')} instead of {one.get('label')}")
        if "score" in one:
            worst = max(worst, abs(one["score"] - other["score"]))
        if "embedding" in one:
            a, b = one["embedding"], other["embedding"]
            cosine = sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
            least = min(least, cosine)
            if kind != "cosine":
                worst = max(worst, max(abs(x - y) for x, y in zip(a, b)))
    if worst > tolerance:
        sys.exit(f"they differ by {worst}, more than {tolerance}")
    if kind == "cosine" and least < number:
        sys.exit(f"a cosine of {least}, less than {number}")
    print(f"{len(found)} answers,", f"cosines of {least:.6f} at least" if kind == "cosine" else f"they differ by {worst:.1e} at most")


main()
