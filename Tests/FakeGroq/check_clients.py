"""Holds the fake against the official groq and openai clients: check_clients.py READY_FILE

Exits with 0 when they understand everything it says.
"""

import json
import sys

import groq
import openai

KEY = "gsk_fakefakefakefakefakefake0001"
MODEL = "llama-3.1-8b-instant"
CHAT = [{"role": "user", "content": "Say something."}]


def expect(condition, what):
    if not condition:
        sys.exit("not so: " + what)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    sys.exit("no %s was raised" % kind.__name__)


def check(client, errors, name):
    chat = client.chat.completions.create(model=MODEL, messages=CHAT, max_completion_tokens=5)
    expect(chat.choices[0].message.content.startswith("echo"), name + ": content")
    expect(chat.choices[0].finish_reason == "length", name + ": finish_reason")
    expect(chat.usage.total_tokens == chat.usage.prompt_tokens + 5, name + ": usage")
    expect(chat.usage.completion_tokens_details.reasoning_tokens == 1, name + ": reasoning tokens")
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=CHAT)
    expect(raw.headers["x-ratelimit-limit-tokens"] == "1000000", name + ": headers")
    expect([model.id for model in client.models.list().data][0] == MODEL, name + ": models")
    wrong = raises(errors.NotFoundError, lambda: client.chat.completions.create(model="none", messages=CHAT))
    expect(wrong.body["error"]["code"] == "model_not_found" if "error" in wrong.body
           else wrong.body["code"] == "model_not_found", name + ": code")
    raises(errors.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=CHAT, n=2))
    raises(errors.BadRequestError,
           lambda: client.chat.completions.create(model="mixtral-8x7b-32768", messages=CHAT))
    other = client.with_options(api_key="gsk_wrongwrongwrong", max_retries=0)
    raises(errors.AuthenticationError, lambda: other.chat.completions.create(model=MODEL, messages=CHAT))
    large = "word " * 1_000_000
    raises(errors.APIStatusError, lambda: client.with_options(max_retries=0).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": large}]))


def check_batch(client):
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": CHAT}}
    bad = dict(line, custom_id="b", body={"model": MODEL, "messages": CHAT, "n": 2})
    data = "\n".join(json.dumps(one) for one in (line, bad)).encode()
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    batch = client.batches.retrieve(batch.id)
    expect(batch.status == "completed", "the batch is completed")
    expect(batch.request_counts.completed == 1 and batch.request_counts.failed == 1, "its counts")
    content = client.files.content(batch.output_file_id)
    text = content.text() if callable(getattr(content, "text", None)) else content.text
    expect(json.loads(text.splitlines()[0])["custom_id"] == "a", "its output")
    other = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
                                  metadata={"millrace": "token"})
    expect(client.batches.cancel(other.id).status == "cancelled", "it is cancelled")
    expect(client.files.delete(batch.output_file_id).deleted, "a file is deleted")
    try:
        client.files.content(batch.output_file_id)
        expect(False, "a deleted file is gone")
    except Exception as error:
        expect(getattr(error, "status_code", 0) == 404, "a deleted file is gone")
    expect(any((one.metadata or {}).get("millrace") == "token" for one in client.batches.list().data), "its metadata")


def main():
    with open(sys.argv[1]) as file:
        ready = json.load(file)
    base = "http://127.0.0.1:%d" % ready["http"]
    # The groq client puts /openai/v1 before its paths itself.
    check(groq.Groq(api_key=KEY, base_url=base), groq, "groq")
    check_batch(groq.Groq(api_key=KEY, base_url=base))
    client = openai.OpenAI(api_key=KEY, base_url=base + "/openai/v1")
    check(client, openai, "openai")
    check_batch(client)
    local = openai.OpenAI(api_key=KEY, base_url=base + "/v1")
    expect(local.completions.create(model=MODEL, prompt="Once").choices[0].text.startswith("echo"), "completions")
    print("the clients understand it")


main()
