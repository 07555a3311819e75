"""Asks one of the function wrappers, started as a process of its own, and prints each answer as a line of JSON.

    ask.py function|service [--peak] TEXTS -- PROGRAM ARGUMENTS..

TEXTS is a file with a text in each line. PROGRAM may be an emulator or a sandbox that runs the wrapper. The environment
has to name the model; the rest of it is made here. What the wrapper logs when it is ready goes to standard error. With
--peak, a line with the most memory that it had, in KiB, follows the answers.
"""

import http.client
import http.server
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time

PATIENCE = 240


def runtime_api(events, replies):
    """A Runtime API of AWS Lambda on loopback that hands out events and collects replies."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            number, body = events.get()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", f"id-{number}")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + PATIENCE) * 1000)))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:1:function:f")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            replies.put((self.path.rsplit("/", 1)[-1], body))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def start(program, environment):
    process = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = ""
    while True:
        line = lines.get(timeout=PATIENCE)
        if line is None:
            sys.exit(f"the program ended with {process.wait()}: {said[-500:]}")
        said += line
        if '"ready"' in line:
            return process, json.loads(re.sub(r"^[^{]*", "", line))


def ask_function(program, texts):
    events, replies = queue.Queue(), queue.Queue()
    environment = {
        **os.environ,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime_api(events, replies)}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    }
    environment.setdefault("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
    process, ready = start(program, environment)
    print(json.dumps(ready), file=sys.stderr)
    yield process
    for number, text in enumerate(texts):
        events.put((number, json.dumps({"text": text}).encode()))
        kind, body = replies.get(timeout=PATIENCE)
        if kind != "response":
            sys.exit(f"{kind}: {body[:300]}")
        yield json.loads(body)


def ask_service(program, texts):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process, ready = start(program, {**os.environ, "PORT": str(port)})
    print(json.dumps(ready), file=sys.stderr)
    yield process
    for text in texts:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("POST", "/predict", json.dumps({"text": text}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            sys.exit(f"{response.status}: {body[:300]}")
        yield json.loads(body)


def main():
    split = sys.argv.index("--")
    arguments, program = sys.argv[1:split], sys.argv[split + 1 :]
    peak = "--peak" in arguments
    kind, file = [argument for argument in arguments if argument != "--peak"]
    with open(file) as lines:
        texts = lines.read().splitlines()
    answers = {"function": ask_function, "service": ask_service}[kind](program, texts)
    process = next(answers)
    try:
        for answer in answers:
            print(json.dumps(answer), flush=True)
        if peak:
            with open(f"/proc/{process.pid}/status") as status:
                print(re.search(r"VmHWM:\s*(\d+)", status.read()).group(1))
    finally:
        process.kill()
        process.wait()


main()
