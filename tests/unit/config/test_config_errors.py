"""Invalid files: text in, problems out, with their places and words."""

# ruff: noqa: E501  # tables: one case a line

from collections.abc import Callable

import pytest

from penstock.config import ConfigError, load_text, loader

from .later_keys import LATER_DIALECTS, LATER_KEYS

Refuse = Callable[[str], list[str]]

BACKENDS = "backends: {a1: {url: 'http://h', concurrency: 1}, b2: {url: 'http://h', concurrency: 1}}\n"
KEYS_AT_TOP = (
    "listen, listen_mode, admin, workers, lane, limits, access, trusted_proxies, cors, drain, log, nodes, "
    "backends, tiers"
)


def tier(rest: str) -> str:
    """A file with one tier, whose further keys begin in column 3 of line 5."""
    return f"{BACKENDS}tiers:\n instant:\n  models: [m]\n  {rest}" + (
        "" if "backends:" in rest else "\n  backends: [a1]"
    )


def backend(rest: str) -> str:
    """A file with one backend, whose further keys begin in column 3 of line 5."""
    required = "  url: http://h\n" if "url:" not in rest else "  serves: x\n"
    slots = "  concurrency: 1\n" if "concurrency:" not in rest else "  keep_alive: 1s\n"
    return f"backends:\n a1:\n{required}{slots}  {rest}\ntiers: {{instant: {{models: [m], backends: [a1]}}}}"


def top(rest: str) -> str:
    """A file with further keys at the top, from line 1."""
    return f"{rest}\n{BACKENDS}tiers: {{instant: {{models: [m], backends: [a1]}}}}"


ONE_PROBLEM = [
    # unknown keys
    (tier("quue: {}"), '5:3: tiers.instant.quue: unknown key; did you mean "queue"?'),
    (tier("queue: {wiat: 2s}"), '5:11: tiers.instant.queue.wiat: unknown key; did you mean "wait"?'),
    (top("limts: {}"), '1:1: limts: unknown key; did you mean "limits"?'),
    (top("zzz: 1"), f"1:1: zzz: unknown key; the keys here are {KEYS_AT_TOP}"),
    (top("open: true"), f"1:1: open: unknown key; the keys here are {KEYS_AT_TOP}"),
    (top('"li\\nsten": 1'), '1:1: li\\nsten: unknown key; did you mean "listen"?'),
    # counts that every request of the tier would be refused for
    (tier("parameters: {default: {n: 0}}"), "5:29: tiers.instant.parameters.default.n: must be a whole number from 1 to 128"),
    (tier("parameters: {force: {best_of: 129}}"), "5:33: tiers.instant.parameters.force.best_of: must be a whole number from 1 to 128"),
    (tier("parameters: {force: {n: true}}"), "5:27: tiers.instant.parameters.force.n: must be a whole number from 1 to 128"),
    (tier("parameters: {default: {max_tokens: '9'}}"), "5:38: tiers.instant.parameters.default.max_tokens: must be a whole number from 1 to 9007199254740992"),
    # duplicate keys
    (top("lane: off\nlane: off"), "2:1: lane: duplicate key; it is also at line 1, column 1"),
    (tier("queue: {wait: 1s, wait: 2s}"), "5:21: tiers.instant.queue.wait: duplicate key; it is also at line 5, column 11"),
    # units
    (tier("queue: {wait: 2}"), "5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got a whole number; write 2s"),
    (tier("queue: {wait: 0.5}"), "5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got a number; write 0.5s"),
    (tier("queue: {wait: -2}"), "5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got a whole number"),
    (tier("queue: {wait: '2'}"), '5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got "2"'),
    (tier("queue: {wait: 2 s}"), '5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got "2 s"'),
    (tier("queue: {wait: 1:30}"), '5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got "1:30"'),
    (tier("queue: {wait: [2s]}"), "5:17: tiers.instant.queue.wait: expected a duration such as 250ms, 2s, 1.5m or 1h, got a list"),
    (tier("queue: {wait: 9000h}"), '5:17: tiers.instant.queue.wait: "9000h" is longer than 366 days'),
    (tier("timeouts: {total: 0s}"), "5:21: tiers.instant.timeouts.total: must be more than 0s"),
    (top("limits: {body: 8}"), "1:16: limits.body: expected a size such as 512B, 16KiB, 8MiB or 10MB, got a whole number; write 8B"),
    (top("limits: {body: 8mb}"), '1:16: limits.body: expected a size such as 512B, 16KiB, 8MiB or 10MB, got "8mb"'),
    (top("limits: {body: 0B}"), "1:16: limits.body: must be more than 0B"),
    (top("limits: {body: 0.3B}"), '1:16: limits.body: "0.3B" is not a whole number of bytes'),
    (top("limits: {body: 2000GiB}"), '1:16: limits.body: "2000GiB" is more than 1024GiB'),
    (tier("retry: {budget: 0.1}"), "5:19: tiers.instant.retry.budget: expected a share such as 10%, got a number"),
    (tier("retry: {budget: 101%}"), '5:19: tiers.instant.retry.budget: "101%" is more than 100%'),
    # permissions
    (top("listen: unix:/s\nlisten_mode: 0660"), '2:14: listen_mode: expected octal permissions in quotes, such as "0660", got a whole number'),
    (top("listen: unix:/s\nlisten_mode: 0o660"), '2:14: listen_mode: expected octal permissions in quotes, such as "0660", got a whole number'),
    (top("listen: unix:/s\nlisten_mode: '0o660'"), '2:14: listen_mode: expected octal permissions in quotes, such as "0660", got "0o660"'),
    (top("listen: unix:/s\nlisten_mode: '0680'"), '2:14: listen_mode: expected octal permissions in quotes, such as "0660", got "0680"'),
    (top("listen: unix:/s\nlisten_mode: '1777'"), '2:14: listen_mode: expected octal permissions in quotes, such as "0660", got "1777"'),
    (top("listen: unix:/s\nlisten_mode: u+rw"), '2:14: listen_mode: expected octal permissions in quotes, such as "0660", got "u+rw"'),
    (top("listen_mode: '0660'"), "1:14: listen_mode: only a unix: socket takes permissions"),
    (top("admin: {listen: 127.0.0.1:1, listen_mode: '0660'}"), "1:43: admin.listen_mode: only a unix: socket takes permissions"),
    # types
    (top("limits: 3"), "1:9: limits: expected a mapping, got a whole number"),
    (top("limits:"), "1:8: limits: expected a mapping, got nothing"),
    (top("limits: {connections: 0}"), "1:23: limits.connections: must be at least 1, got 0"),
    (top("access: {allow_anonymous: yes}"), "1:27: access.allow_anonymous: expected true or false, got a string"),
    (top("access: {allow_anonymous: 1}"), "1:27: access.allow_anonymous: expected true or false, got a whole number"),
    (top("log: {level: warn}"), '1:14: log.level: expected debug or error or info or warning, got "warn"; did you mean "warning"?'),
    (top("lane: no"), '1:7: lane: expected off or on, got "no"'),
    (top("workers: 0"), "1:10: workers: must be at least 1, got 0"),
    (top("workers: 65"), "1:10: workers: must be at most 64, got 65"),
    (top("workers: 1.5"), "1:10: workers: expected a whole number or auto, got a number"),
    (top("workers: null"), "1:10: workers: expected a whole number or auto, got nothing"),
    (top("workers: true"), "1:10: workers: expected a whole number or auto, got a boolean"),
    (top("workers: [2]"), "1:10: workers: expected a whole number or auto, got a list"),
    (top("workers: '2'"), '1:10: workers: expected a whole number or auto, got "2"'),
    (top("workers: atuo"), '1:10: workers: expected a whole number or auto, got "atuo"; did you mean "auto"?'),
    (top("admin: {token: 12345}"), "1:16: admin.token: expected a string, got a whole number; put it in quotes"),
    (top("admin: {token: ''}"), "1:16: admin.token: must not be empty"),
    (tier("profile: slow"), '5:12: tiers.instant.profile: expected instant or thinking, got "slow"'),
    (tier("models: x"), "5:3: tiers.instant.models: duplicate key; it is also at line 4, column 3"),
    (tier("concurrency: 1.0"), "5:16: tiers.instant.concurrency: expected a whole number, got a number"),
    # availability of values
    *((backend(f"dialect: {word}"), f'5:12: backends.a1.dialect: "{word}" is not available in this version') for word in LATER_DIALECTS),
    (backend("dialect: vlm"), '5:12: backends.a1.dialect: expected llamacpp or openai or vllm, got "vlm"; did you mean "vllm"?'),
    (backend("dialect: null"), '5:12: backends.a1.dialect: expected llamacpp or openai or vllm, got "null"'),
    # listeners
    (top("listen: 0.0.0.0:80"), "1:9: listen: 0.0.0.0:80 can be reached from other machines, and this version has no keys: set access.allow_anonymous: true if everyone there may use the models"),
    (top("listen: :80"), "1:9: listen: :80 can be reached from other machines, and this version has no keys: set access.allow_anonymous: true if everyone there may use the models"),
    (top("listen: 8080"), "1:9: listen: expected a string, got a whole number; put it in quotes"),
    (top("listen: localhost"), '1:9: listen: expected host:port or unix:/path, got "localhost"'),
    (top("listen: 127.0.0.1:65536"), "1:9: listen: port 65536 is above 65535"),
    (top("listen: '::1:80'"), '1:9: listen: expected host:port, with an IPv6 address in brackets, got "::1:80"'),
    (top("listen: unix:x"), '1:9: listen: expected an absolute path such as unix:/run/penstock.sock, got "unix:x"'),
    (top("listen: 127.0.0.1:9180"), "1:9: listen: listen and admin.listen are both 127.0.0.1:9180"),
    (top("admin: {listen: 127.0.0.1:8080}"), "1:17: admin.listen: listen and admin.listen are both 127.0.0.1:8080"),
    # backends
    (backend("concurrency: -1"), "5:16: backends.a1.concurrency: must be at least 0, got -1"),
    (backend("concurrency: 1.5"), "5:16: backends.a1.concurrency: expected a whole number, got a number"),
    (backend("concurrency: true"), "5:16: backends.a1.concurrency: expected a whole number, got a boolean"),
    (backend("concurrency: null"), "5:16: backends.a1.concurrency: expected a whole number, got nothing"),
    ("backends:\n a1: {url: http://h}\ntiers: {instant: {models: [m], backends: [a1]}}", "2:2: backends.a1.concurrency: must be given (Requests running at once; 0: drained on purpose)"),
    (backend("stream_whole: 1"), "5:17: backends.a1.stream_whole: expected true or false, got a whole number"),
    (backend('stream_whole: "true"'), "5:17: backends.a1.stream_whole: expected true or false, got a string"),
    (backend("stream_whole: yes"), "5:17: backends.a1.stream_whole: expected true or false, got a string"),
    (top("access: {allow_anonymous: null}"), "1:27: access.allow_anonymous: expected true or false, got nothing"),
    (backend("stream_hole: true"), '5:3: backends.a1.stream_hole: unknown key; did you mean "stream_whole"?'),
    (backend("url: ftp://h"), "5:8: backends.a1.url: expected a URL that begins with http://, https:// or unix:/"),
    (backend("url: http://u:s3cret@h"), "5:8: backends.a1.url: a URL must not hold a user or password; use api_key or headers"),
    (backend("url: http://u:s3/cret@h"), "5:8: backends.a1.url: a URL must not hold a user or password; use api_key or headers"),
    (backend("url: http://h/?k=v"), "5:8: backends.a1.url: a URL must not hold a query (?) or a fragment (#)"),
    (backend("url: http://h/#x"), "5:8: backends.a1.url: a URL must not hold a query (?) or a fragment (#)"),
    (backend("url: http:///v1"), "5:8: backends.a1.url: the URL has no host"),
    (backend('url: "http://h/\\r\\nx"'), "5:8: backends.a1.url: a URL holds only visible ASCII characters"),
    (backend('url: "http://h /"'), "5:8: backends.a1.url: a URL holds only visible ASCII characters"),
    (backend("url: http://h:0"), "5:8: backends.a1.url: a backend cannot have port 0"),
    (backend("url: http://10.0.0.256"), '5:8: backends.a1.url: "10.0.0.256" is not an IPv4 address'),
    (backend("url: 'http://[::1]:99999'"), "5:8: backends.a1.url: port 99999 is above 65535"),
    (backend("url: 'http://[1]'"), '5:8: backends.a1.url: "1" is not an IPv6 address'),
    (backend("node: gpu"), '5:9: backends.a1.node: there is no node "gpu"'),
    (backend("node: gpu-b\nnodes: {gpu-a: {}}"), '5:9: backends.a1.node: there is no node "gpu-b"; did you mean "gpu-a"?'),
    (backend("headers: {Host: x}"), '5:13: backends.a1.headers.Host: the header "Host" is set by the gateway itself'),
    (backend("headers: {Transfer-Encoding: x}"), '5:13: backends.a1.headers.Transfer-Encoding: the header "Transfer-Encoding" is set by the gateway itself'),
    (backend("headers: {'a b': x}"), '5:13: backends.a1.headers.a b: "a b" is not a header name'),
    (backend('headers: {a: "s3cret\\r\\nb: c"}'), "5:16: backends.a1.headers.a: a header value holds only printable ASCII characters, and no space at its ends"),
    (backend('headers: {a: "s3cret\\0"}'), "5:16: backends.a1.headers.a: a header value holds only printable ASCII characters, and no space at its ends"),
    (backend("headers: {a: 1}"), "5:16: backends.a1.headers.a: expected a string, got a whole number; put it in quotes"),
    (backend("headers: {a: x, A: y}"), '5:19: backends.a1.headers.A: the header is given twice, also as "a"'),
    (backend("headers: {Authorization: x}\n  api_key: y"), "5:13: backends.a1.headers.Authorization: api_key sets this header too; give one of them"),
    (backend("api_key: 's3cret '"), "5:12: backends.a1.api_key: a key holds only visible ASCII characters: no spaces, no line breaks"),
    (backend("tls: {ca: /x}"), "5:8: backends.a1.tls: only an https:// url takes tls"),
    (backend("url: https://h\n  tls: {cert: /x}"), "6:8: backends.a1.tls: cert and key are given together or not at all"),
    (backend("prefill_tokens: 0"), "5:19: backends.a1.prefill_tokens: must be at least 1, got 0"),
    (backend("prefill_tokens: 8KiB"), '5:19: backends.a1.prefill_tokens: expected a whole number or auto, got "8KiB"'),
    (backend("kv_tokens: Auto"), '5:14: backends.a1.kv_tokens: expected a whole number or auto, got "Auto"; did you mean "auto"?'),
    (backend("kv_tokens: 9007199254740993"), "5:14: backends.a1.kv_tokens: must be at most 9007199254740992, got 9007199254740993"),
    (backend("kv_tokens: {}"), "5:14: backends.a1.kv_tokens: expected a whole number or auto, got a mapping"),
    (backend("prefil_tokens: 1"), '5:3: backends.a1.prefil_tokens: unknown key; did you mean "prefill_tokens"?'),
    (backend("weight: 0"), "5:11: backends.a1.weight: must be at least 0.001, got 0"),
    (backend("weight: .nan"), "5:11: backends.a1.weight: must be at least 0.001, got .nan"),
    (backend("weight: .inf"), "5:11: backends.a1.weight: must be at most 1000, got .inf"),
    (backend("weight: 1000.5"), "5:11: backends.a1.weight: must be at most 1000, got 1000.5"),
    (backend("weight: heavy"), "5:11: backends.a1.weight: expected a number, got a string"),
    (backend("weight: true"), "5:11: backends.a1.weight: expected a number, got a boolean"),
    (backend("weight: null"), "5:11: backends.a1.weight: expected a number, got nothing"),
    # whom a request is for
    (top("access: {tenant_header: ''}"), '1:25: access.tenant_header: "" is not a header name'),
    (top("access: {tenant_header: x tenant}"), '1:25: access.tenant_header: "x tenant" is not a header name'),
    (top("access: {tenant_haeder: x}"), '1:10: access.tenant_haeder: unknown key; did you mean "tenant_header"?'),
    (top("access: {tenant_header: X-T, priority_header: x-t}"), '1:47: access.priority_header: "x-t" is the tenant_header too'),
    (top("trusted_proxies: 10.0.0.0/8"), "1:18: trusted_proxies: expected a list, got a string"),
    (top("trusted_proxies: [proxy.internal]"), '1:19: trusted_proxies[0]: expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, got "proxy.internal"'),
    (top("trusted_proxies: [10.9.0.0/16, 10.0.0.1/8]"), '1:32: trusted_proxies[1]: "10.0.0.1/8" has bits beyond its prefix; the network is 10.0.0.0/8'),
    (top("trusted_proxies: [10]"), "1:19: trusted_proxies[0]: expected a string, got a whole number; put it in quotes"),
    # which web pages
    (top("cors: {origins: https://a.example}"), "1:17: cors.origins: expected a list, got a string"),
    *((top(f"cors: {{origins: ['{text}']}}"), f'1:18: cors.origins[0]: expected an origin such as https://app.example or "*", got "{text}"') for text in ("", "null", "a.example", "https://a.example/", "https://a.example/x", "http://", "http://u@a", "http://a:99999", "http://a b", "*.example", "app://", "app://a/b", "app:a")),
    (top("cors: {origins: ['*', 'http://a', '*']}"), '1:35: cors.origins[2]: "*" is listed twice, first in line 1'),
    (top("cors: {origin: []}"), '1:8: cors.origin: unknown key; did you mean "origins"?'),
    # tiers
    (tier("share: 0"), "5:10: tiers.instant.share: must be at least 1, got 0"),
    (tier("share: 10%"), "5:10: tiers.instant.share: expected a whole number, got a string"),
    (tier("share: 1000001"), "5:10: tiers.instant.share: must be at most 1000000, got 1000001"),
    (tier("slo: {first_token: 0s}"), "5:22: tiers.instant.slo.first_token: must be more than 0s"),
    (tier("slo: {inter_token: 0ms}"), "5:22: tiers.instant.slo.inter_token: must be more than 0s"),
    (tier("slo: {first_token: 1}"), "5:22: tiers.instant.slo.first_token: expected a duration such as 250ms, 2s, 1.5m or 1h, got a whole number; write 1s"),
    (tier("slo: {inter_tokens: 1s}"), '5:9: tiers.instant.slo.inter_tokens: unknown key; did you mean "inter_token"?'),
    (tier("adaptive: on"), '5:13: tiers.instant.adaptive: expected enforce or observe or off, got "on"'),
    (tier("adaptive: true"), '5:13: tiers.instant.adaptive: expected enforce or observe or off, got "true"'),
    (tier("adaptive: observer"), '5:13: tiers.instant.adaptive: expected enforce or observe or off, got "observer"; did you mean "observe"?'),
    (tier("bands: {low: 0}"), "5:16: tiers.instant.bands.low: must be at least 1, got 0"),
    (tier("bands: {high: 1.5}"), "5:17: tiers.instant.bands.high: expected a whole number, got a number"),
    (tier("bands: {hi: 8}"), '5:11: tiers.instant.bands.hi: unknown key; did you mean "high"?'),
    (tier("bands: [8, 3, 1]"), "5:10: tiers.instant.bands: expected a mapping, got a list"),
    (tier("affinity: {prefix: 1}"), "5:22: tiers.instant.affinity.prefix: expected true or false, got a whole number"),
    (top("access: {priority_header: Host}"), '1:27: access.priority_header: the header "Host" says how a message is read, not whose it is'),
    (tier("affinity: {header: te}"), '5:22: tiers.instant.affinity.header: the header "te" says how a message is read, not whose it is'),
    (tier("affinity: {header: 'x:y'}"), '5:22: tiers.instant.affinity.header: "x:y" is not a header name'),
    (tier("queue: {per_tenant: {requests: 0}}"), "5:34: tiers.instant.queue.per_tenant.requests: must be at least 1, got 0"),
    (tier("backends: []"), "5:13: tiers.instant.backends: must have at least one entry"),
    (tier("backends: [a]"), '5:14: tiers.instant.backends[0]: there is no backend "a"; did you mean "a1"?'),
    (tier("backends: [a1, a1]"), '5:18: tiers.instant.backends[1]: "a1" is listed twice, first in line 5'),
    (f"{BACKENDS}tiers: {{x: {{models: [], backends: [a1]}}}}", "2:21: tiers.x.models: must have at least one entry"),
    (f"{BACKENDS}tiers: {{x: {{models: [m, m], backends: [a1]}}}}", '2:25: tiers.x.models[1]: "m" is listed twice, first in line 2'),
    (f"{BACKENDS}tiers: {{x: {{models: [''], backends: [a1]}}}}", "2:22: tiers.x.models[0]: a model name must not be empty"),
    (f"{BACKENDS}tiers: {{x: {{models: [1], backends: [a1]}}}}", "2:22: tiers.x.models[0]: expected a string, got a whole number; put it in quotes"),
    (f'{BACKENDS}tiers: {{x: {{models: ["a\\nb"], backends: [a1]}}}}', "2:22: tiers.x.models[0]: a model name holds only printable characters"),
    (f"{BACKENDS}tiers: {{x: {{models: [{'é' * 129}], backends: [a1]}}}}", "2:22: tiers.x.models[0]: a model name is at most 256 bytes long"),
    (f"{BACKENDS}tiers: {{x: {{backends: [a1]}}}}", "2:9: tiers.x.models: must be given (Names that clients send)"),
    (f"{BACKENDS}tiers: {{x: {{models: [m]}}}}", "2:9: tiers.x.backends: must be given (Model servers for them, of backends)"),
    (f"{BACKENDS}tiers: {{'': {{models: [m], backends: [a1]}}}}", '2:9: tiers.: "" is not a name: 1 to 64 letters, digits, ".", "_" or "-"'),
    (f"{BACKENDS}tiers:\n x: {{models: [m], backends: [a1]}}\n y: {{models: [m], backends: [b2]}}", '4:15: tiers.y.models[0]: the model "m" is in two tiers, "x" (line 3) and "y"'),
    (f"{BACKENDS}tiers: {{}}", "2:8: tiers: must have at least one entry"),
    (BACKENDS, "1:1: tiers: must be given (What clients can ask for)"),
    # parameters
    (tier("parameters: {default: {model: x}}"), '5:26: tiers.instant.parameters.default.model: "model" cannot be set here'),
    (tier("parameters: {force: {messages: []}}"), '5:24: tiers.instant.parameters.force.messages: "messages" cannot be set here'),
    (tier("parameters: {force: {prompt: x}}"), '5:24: tiers.instant.parameters.force.prompt: "prompt" cannot be set here'),
    (tier("parameters: {default: {input: x}}"), '5:26: tiers.instant.parameters.default.input: "input" cannot be set here'),
    (tier("parameters: {default: {Dimensions: 1}}"), '5:26: tiers.instant.parameters.default.Dimensions: "Dimensions" differs from "dimensions" only in case'),
    (tier("parameters: {default: {stream: true}}"), '5:26: tiers.instant.parameters.default.stream: "stream" cannot be set here'),
    (tier("parameters: {default: {Temperature: 1}}"), '5:26: tiers.instant.parameters.default.Temperature: "Temperature" differs from "temperature" only in case'),
    (tier("parameters: {force: {MODEL: x}}"), '5:24: tiers.instant.parameters.force.MODEL: "MODEL" differs from "model" only in case'),
    (tier('parameters: {force: {"\u017ftop": x}}'), '5:24: tiers.instant.parameters.force.\u017ftop: "\u017ftop" differs from "stop" only in case'),
    (tier("media_tokens: 0"), "5:17: tiers.instant.media_tokens: must be at least 1, got 0"),
    (tier("media_tokens: auto"), "5:17: tiers.instant.media_tokens: expected a whole number, got a string"),
    (tier("parameters: {force: {stream_options: {}}}"), '5:24: tiers.instant.parameters.force.stream_options: "stream_options" cannot be set here'),
    (tier("parameters: {default: [x]}"), "5:25: tiers.instant.parameters.default: expected a mapping, got a list"),
    (tier("parameters: {default: {a: [.inf]}}"), "5:30: tiers.instant.parameters.default.a[0]: .inf is not a number of JSON"),
    (tier("parameters: {default: {a: 99999999999999999999}}"), "5:29: tiers.instant.parameters.default.a: the number has more than 64 bits"),
    (tier("parameters: {max_tokens: 0}"), "5:28: tiers.instant.parameters.max_tokens: must be at least 1, got 0"),
    (tier("parameters: {unsupported: stric}"), '5:29: tiers.instant.parameters.unsupported: expected permissive or strict or warn, got "stric"; did you mean "strict"?'),
    (tier("parameters: {allow: [a, a]}"), '5:27: tiers.instant.parameters.allow[1]: "a" is listed twice, first in line 5'),
    # YAML
    (top("lane: !!str off"), "1:7: lane: YAML tags such as !!str are not allowed"),
    (top("lane: !foo off"), "1:7: lane: YAML tags such as !foo are not allowed"),
    (top("log: !!python/object:os.system {}"), "1:6: log: YAML tags such as !!python/object:os.system are not allowed"),
    (top("log: *x"), "1:6: log: *x stands for nothing that is complete before it"),
    (top("log: &x {level: *x}"), "1:17: log.level: *x stands for nothing that is complete before it"),
    (top("log: {<<: 3}"), "1:11: log.<<: << takes a mapping or a list of mappings, not a whole number"),
    (top("? [a]\n: b"), "1:3: a key must be a name, not a list or mapping"),
    (top("a: &a [x]\n*a : b"), "2:1: a key must be a name, not a list or mapping"),
    ("? " * 100_000, "1:3: a key must be a name, not a list or mapping"),
    (top("listen: 127.0.0.1:80\n\tlane: off"), "2:1: not valid YAML: found character '\\t' that cannot start any token"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), ONE_PROBLEM)
def test_one_problem(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text) == [f"p.yaml:{problem}"]


def test_the_helpers_make_valid_files() -> None:
    for text in (tier("queue: {wait: 2s}"), backend("abort_grace: 1s"), top("lane: off")):
        load_text(text, "p.yaml")


def test_all_problems_come_at_once_and_in_order(refuse: Refuse) -> None:
    text = """\
listen: 0.0.0.0:80
limts: {}
backends:
  a1: {url: "http://h?", node: none}
  a2: {url: http://h, concurrency: ${NOT_SET}}
tiers:
  instant: {models: [m, m], backends: [a3], queue: {wait: 2}, heartbeat: 0s}
"""
    assert [problem.split(" ")[0] + " " + problem.split(" ")[1] for problem in refuse(text)] == [
        "p.yaml:1:9: listen:",
        "p.yaml:2:1: limts:",
        "p.yaml:4:3: backends.a1.concurrency:",
        "p.yaml:4:13: backends.a1.url:",
        "p.yaml:4:32: backends.a1.node:",
        "p.yaml:5:36: backends.a2.concurrency:",
        "p.yaml:7:25: tiers.instant.models[1]:",
        "p.yaml:7:40: tiers.instant.backends[0]:",
        "p.yaml:7:59: tiers.instant.queue.wait:",
        "p.yaml:7:63: tiers.instant.heartbeat:",
    ]


@pytest.mark.parametrize("key", LATER_KEYS)
def test_keys_of_later_versions(refuse: Refuse, key: tuple[str, ...]) -> None:
    """Each is refused with the one sentence, whatever its value: a key is never accepted and ignored."""
    match key:
        case ("backends", "*", *rest):
            text, path = backend(_nested(rest)), ["backends", "a1", *rest]
        case ("tiers", "*", *rest):
            text, path = tier(_nested(rest)), ["tiers", "instant", *rest]
        case rest:
            text, path = top(_nested(list(rest))), list(rest)
    (problem,) = refuse(text)
    assert problem.endswith(f': {".".join(path)}: "{path[-1]}" is not available in this version')


def _nested(keys: list[str]) -> str:
    return "".join(f"{{{key}: " if at else f"{key}: " for at, key in enumerate(keys)) + "null" + "}" * (len(keys) - 1)


def test_problems_carry_their_fields() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tier("quue: {}"), "p.yaml")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("p.yaml", 5, 3)
    assert (problem.path, problem.message, problem.suggestion) == ("tiers.instant.quue", "unknown key", "queue")
    assert caught.value.exit_code == 2


def test_the_number_of_problems_is_bounded(refuse: Refuse) -> None:
    assert len(refuse("\n".join(f"key{at}: 1" for at in range(5000)))) == 100


def test_alias_bomb(refuse: Refuse) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 9)]
    assert refuse("\n".join(lines)) == ["p.yaml:6:10: a5[0]: the file holds more than 100,000 values"]


def test_merge_bomb(refuse: Refuse) -> None:
    entries = ", ".join(f"k{at}: 1" for at in range(1000))
    lines = [f"a: &a {{{entries}}}", *(f"b{at}: {{<<: *a}}" for at in range(1000))]
    (problem,) = refuse("\n".join(lines))
    assert problem.endswith(": the file holds more than 100,000 values")


def test_depth_counts_through_aliases(refuse: Refuse) -> None:
    deep = "[" * 40 + "]" * 40
    assert refuse(f"a: &a {deep}\nb: {'[' * 40}*a{']' * 40}")[-1].endswith(": nested more than 64 deep")


def test_too_many_backends(refuse: Refuse) -> None:
    names = [f"b{at}" for at in range(257)]
    entries = "".join(f"  {name}: {{url: http://h, concurrency: 1}}\n" for name in names)
    text = f"backends:\n{entries}tiers: {{x: {{models: [m], backends: [{', '.join(names)}]}}}}"
    assert refuse(text) == ["p.yaml:2:3: backends: must have at most 256 entries"]
    assert loader.MAX_NODES > 257
