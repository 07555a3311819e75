"""Checks that two files of JSON lines have the same answers: compare_answers.py EXPECTED FOUND TOLERANCE

Labels must be equal. Scores and embeddings may differ by TOLERANCE. If TOLERANCE is `cosine:0.998`, embeddings need at least
this cosine, and scores may differ by 0.03: int8 rounds differently on different instruction sets.
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
        sys.exit(f"answers differ by {worst}, more than {tolerance}")
    if kind == "cosine" and least < number:
        sys.exit(f"an embedding has a cosine of {least}, less than {number}")
    print(f"{len(found)} answers,", f"cosines of at least {least:.6f}" if kind == "cosine" else f"differ by at most {worst:.1e}")


main()
