"""Rounds of concurrent requests at the service of examples/cloud-run, in control groups of version 1.

    cloud_run_load.py SERVICE MODEL VOCABULARY --groups MEMORY CPU [--rounds N] [--clients N]

Prints what memory the service has after each round, and PASS or FAIL for what has to hold.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

TOKENS = 512
# MiB by which memory may grow after the first round, for each thread: which thread meets the largest pass first, alone or with
# the others, is chance. And MiB by which the second half of the rounds may exceed the first: a leak would grow on.
GROWTH = 4
LEAK = 2


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("service")
    arguments.add_argument("model")
    arguments.add_argument("vocabulary")
    arguments.add_argument("--groups", nargs=2, required=True, type=Path)
    arguments.add_argument("--rounds", type=int, default=20, help="four at least")
    arguments.add_argument("--clients", type=int, default=80)
    options = arguments.parse_args()
    memory = options.groups[0]
    # Words that are one token each, of the whole vocabulary, so that rows of the table of words come from all of the file.
    vocabulary = Path(options.vocabulary).read_text().splitlines()
    words = [word for word in vocabulary if word.isascii() and word.isalpha()]
    server = Server(options)
    first = server.memory()
    print(f"{options.clients} clients, {options.rounds} rounds, texts of {TOKENS} tokens")
    print("round    slowest ms    resident MiB    group MiB")
    print(f"start{'':18}{first:12.1f}{usage(memory):13.1f}")
    failures, residents = [], []
    for number in range(1, options.rounds + 1):
        slowest, failed = round_of(server.port, options.clients, words, random.Random(number))
        failures += failed
        residents.append(server.memory())
        print(f"{number:5}{slowest * 1e3:14.0f}{residents[-1]:16.1f}{usage(memory):13.1f}")
    peak = int((memory / "memory.max_usage_in_bytes").read_text()) / (1 << 20)
    print(f"the group at most: {peak:.1f} MiB; the service at most: {server.memory('VmHWM'):.1f} MiB")
    growth = max(residents) - residents[0]
    half = len(residents) // 2
    leak = max(residents[half:]) - max(residents[:half])
    checks = [
        (f"{len(failures)} of {options.rounds * options.clients} requests fail", not failures),
        (f"memory grows by {growth:.1f} MiB after the first round", growth <= GROWTH * server.threads),
        (f"and in the second half of the rounds by {leak:.1f} MiB", leak <= LEAK),
        ("SIGTERM ends the service with 0", server.stop() == 0),
    ]
    for failure in failures[:3]:
        print("     ", failure)
    for what, holds in checks:
        print("PASS " if holds else "FAIL ", what)
    sys.exit(not all(holds for _, holds in checks))


class Server:
    """The service, in the groups."""

    def __init__(self, options):
        def join():
            for group in options.groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        environment = {"PORT": "0", "BERTLESS_MODEL": options.model}
        self.process = subprocess.Popen(
            [options.service], env=environment, stdout=subprocess.PIPE, preexec_fn=join, text=True
        )
        ready = json.loads(self.process.stdout.readline())
        self.port = ready["port"]
        self.threads = ready["threads"]
        print(f"ready: threads={self.threads}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def memory(self, key="VmRSS"):
        """In MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(key + ":"))
        return int(line.split()[1]) / 1024

    def stop(self):
        self.process.terminate()
        return self.process.wait(15)


def usage(group):
    """What a group has, in MiB, pages of files counted."""
    return int((group / "memory.usage_in_bytes").read_text()) / (1 << 20)


def round_of(port, clients, words, chance):
    """All clients ask in the same moment. Gives the longest time, and what failed."""
    texts = [" ".join(chance.choices(words, k=TOKENS + 50)) for _ in range(clients)]
    barrier = threading.Barrier(clients)
    times, failures = [], []

    def client(text):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        refused = None
        try:
            connection.connect()
        except OSError as error:
            refused = error
        # The others wait for this one, connected or not.
        barrier.wait()
        begin = time.monotonic()
        try:
            if refused is not None:
                raise refused
            connection.request("POST", "/predict", json.dumps({"text": text}))
            response = connection.getresponse()
            body = response.read()
            answer = json.loads(body)
            right = response.status == 200 and answer["n_tokens"] == TOKENS and len(answer["embedding"]) == 384
            if not right:
                failures.append(f"{response.status}: {body[:200]!r}")
        # A body that is no JSON, an answer without a key, a connection that ends early: each is a failed request.
        except Exception as error:
            failures.append(repr(error))
        times.append(time.monotonic() - begin)
        connection.close()

    threads = [threading.Thread(target=client, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(times) != clients:
        failures.append(f"{clients - len(times)} clients did not end")
    return max(times, default=0.0), failures


main()
