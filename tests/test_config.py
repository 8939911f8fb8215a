"""The configuration: what is taken, what is refused and in which words, and that the document says the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from certstream.cli.exits import MEANINGS
from certstream.config import Config, ConfigError, load
from certstream.config.model import Section
from certstream.config.telling import section_of
from certstream.service.metrics import Metrics

DOCUMENT = Path(__file__).parents[1] / "docs" / "configuration.md"


def given(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    file = tmp_path / "certstream.toml"
    file.write_text(text)
    return load(file, {"HOME": "/home/u", **(environ or {})})


def refused(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        given(tmp_path, text, environ)
    return [line.replace(f"{tmp_path}/", "") for line in raised.value.problems]


# --- Good ------------------------------------------------------------------------------------------------------------


def test_without_a_file_there_is_one_account_from_the_chain_and_an_embedded_journal() -> None:
    config = load(None, {"HOME": "/home/u"})
    assert config.journal_path == Path("/home/u/.local/state/certstream/journal.db")
    assert config.brokers == ()
    (account,) = config.accounts
    assert (account.name, account.budget, account.endpoint) == ("default", "default", "https://cas.aliyuncs.com")
    assert (account.qps, account.page_size, account.sweep_every, account.probe_every) == (10, 100, 300.0, 5.0)
    assert [one.text for one in config.thresholds] == ["60d", "30d", "14d", "7d", "3d", "1d"]
    assert config.pem
    assert config.http.address == ("127.0.0.1", 8080)


def test_the_state_directory_follows_xdg() -> None:
    assert load(None, {"XDG_STATE_HOME": "/var/lib"}).journal_path == Path("/var/lib/certstream/journal.db")


def test_the_issues_example_is_understood(tmp_path: Path) -> None:
    config = given(
        tmp_path,
        """
        journal = "kafka://127.0.0.1:9092,[::1]:9093"
        topic_prefix = "certs."
        thresholds = ["30d", "33%"]
        pem = false
        [http]
        listen = ""
        [[accounts]]
        name = "prod"
        qps = 4
        sweep_every = "0s"
        resource_group = "rg-1"
        budget = "us"
        [accounts.credentials]
        role_arn = "acs:ram::1:role/x"
        external_id = "y"
        [[accounts]]
        name = "test"
        endpoint = "http://127.0.0.1:8099/"
        """,
    )
    assert config.brokers == ("127.0.0.1:9092", "[::1]:9093")
    assert config.journal_path is None
    assert config.kafka.transactional_id_prefix == "certs"
    assert config.http.address is None
    first, second = config.accounts
    assert (first.budget, first.sweep_every, first.credentials.external_id) == ("us", 0.0, "y")
    assert (second.budget, second.endpoint) == ("test", "http://127.0.0.1:8099")


def test_the_environment_has_the_last_word(tmp_path: Path) -> None:
    environ = {
        "CERTSTREAM_ACCOUNTS__0__QPS": "3",
        "CERTSTREAM_ACCOUNTS__1__NAME": "second",
        "CERTSTREAM_ACCOUNTS__1__CREDENTIALS__PROFILE": "p",
        "CERTSTREAM_THRESHOLDS": "10d, 5%",
        "CERTSTREAM_PEM": "false",
        "CERTSTREAM_HTTP__LISTEN": "",
        "PATH": "/bin",
    }
    config = given(tmp_path, '[[accounts]]\nname = "a"\nqps = 9', environ)
    assert [(one.name, one.qps) for one in config.accounts] == [("a", 3), ("second", 10)]
    assert config.accounts[1].credentials.profile == "p"
    assert [one.text for one in config.thresholds] == ["10d", "5%"]
    assert not config.pem
    assert config.http.address is None


def test_thresholds_by_environment_may_be_a_json_list() -> None:
    config = load(None, {"HOME": "/", "CERTSTREAM_THRESHOLDS": '["1d", "2h"]'})
    assert [one.text for one in config.thresholds] == ["1d", "2h"]


def test_variables_that_kubernetes_sets_for_a_service_of_that_name_are_not_ours() -> None:
    load(
        None,
        {
            "HOME": "/",
            "CERTSTREAM_PORT": "tcp://10.0.0.1:8080",
            "CERTSTREAM_PORT_8080_TCP_ADDR": "10.0.0.1",
            "CERTSTREAM_SERVICE_HOST": "10.0.0.1",
            "CERTSTREAM_SERVICE_PORT_HTTP": "8080",
            "CERTSTREAM_CONFIG": "x",
        },
    )


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    config = given(tmp_path, '[http]\nlisten = "0.0.0.0:80"\ntoken_file = "token"')
    assert config.http.token_file == str(tmp_path / "token")


def test_two_installations_on_one_cluster_do_not_fence_each_other(tmp_path: Path) -> None:
    one = given(tmp_path, 'journal = "kafka://b:1"\ntopic_prefix = "one."')
    two = given(tmp_path, 'journal = "kafka://b:1"\ntopic_prefix = "two."')
    assert one.kafka.transactional_id_prefix != two.kafka.transactional_id_prefix


# --- Bad -------------------------------------------------------------------------------------------------------------

ACCOUNT = "[[accounts]]\n"
NAME = "1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit"
URL = "https://host[:port]; http:// on loopback only, or with insecure = true"
REDIS = "redis://[user@]host[:port][/number], or rediss:// for TLS"

BAD = [
    (f"{ACCOUNT}qps = 11", "accounts[0].qps: 11 is not allowed; 1 to 10"),
    ("limiter = 'localhost:6379'", f"limiter: 'localhost:6379' is not allowed; {REDIS}"),
    ("limiter = 'redis://'", f"limiter: 'redis://' is not allowed; {REDIS}"),
    ("limiter = 'redis://h:70000'", f"limiter: 'redis://h:70000' is not allowed; {REDIS}"),
    ("limiter = 'redis://h/0?socket_timeout=9'", f"limiter: 'redis://h/0?socket_timeout=9' is not allowed; {REDIS}"),
    (
        "limiter = 'redis://u:hush@h'",
        "limiter: a password does not belong into this file; name the file that holds it: ",
    ),
    ("limiter = 'http://u:hu/sh@h'", f"limiter: 'http://…@h' is not allowed; {REDIS}"),
    ("limiter_password_file = 'certstream.toml'", "limiter_password_file: it needs limiter"),
    ("limiter = 'redis://h'\nlimiter_ca_file = '/dev/null'", "limiter_ca_file: it needs a limiter that is rediss://"),
    ("limiter = 'rediss://h'\nlimiter_ca_file = 'no.pem'", "limiter_ca_file: '"),
    ("limiter_password = 'hush'", "name that: limiter_password_file"),
    (f"{ACCOUNT}qps = 0", "accounts[0].qps: 0 is not allowed; 1 to 10"),
    (f"{ACCOUNT}qps = true", "accounts[0].qps: true is not allowed; 1 to 10"),
    (f'{ACCOUNT}qps = "many"', "accounts[0].qps: 'many' is not allowed; 1 to 10"),
    (f"{ACCOUNT}page_size = 0", "accounts[0].page_size: 0 is not allowed; 1 to 1000"),
    (f'{ACCOUNT}name = "Prod"', f"accounts[0].name: 'Prod' is not allowed; {NAME}"),
    (f'{ACCOUNT}name = "a/b"', f"accounts[0].name: 'a/b' is not allowed; {NAME}"),
    (f'{ACCOUNT}budget = "A"', f"accounts[0]: budget: 'A' is not allowed; {NAME}"),
    (f'{ACCOUNT}name = "{"a" * 64}"', f"accounts[0].name: '{'a' * 56}… is not allowed; {NAME}"),
    (
        f'{ACCOUNT}sweep_every = "5"',
        "accounts[0].sweep_every: '5' is not a duration; write a number and a unit, s m h or d",
    ),
    (f'{ACCOUNT}sweep_every = "2d"', "accounts[0].sweep_every: '2d' is not allowed; 0s to 1d"),
    (f"{ACCOUNT}sweep_every = nan", "accounts[0].sweep_every: nan is not allowed; 0s to 1d"),
    (f'{ACCOUNT}uid = "12a"', "accounts[0].uid: '12a' is not allowed; digits"),
    (
        f'{ACCOUNT}endpoint = "http://cas.example.com"',
        f"accounts[0]: endpoint: 'http://cas.example.com' is not allowed; {URL}",
    ),
    (f'{ACCOUNT}endpoint = "cas.aliyuncs.com"', f"accounts[0].endpoint: 'cas.aliyuncs.com' is not allowed; {URL}"),
    (f'{ACCOUNT}endpoint = "https://h/path"', f"accounts[0].endpoint: 'https://h/path' is not allowed; {URL}"),
    (
        f'{ACCOUNT}sts_endpoint = "http://10.0.0.1"',
        f"accounts[0]: sts_endpoint: 'http://10.0.0.1' is not allowed; {URL}",
    ),
    (f'{ACCOUNT}endpont = "x"', "accounts[0].endpont: there is no such key; did you mean endpoint?"),
    (f'{ACCOUNT}listen = ":1"', "accounts[0].listen: there is no such key; did you mean listen in [http]?"),
    ("[[account]]\nqps = 3", "account: there is no such key; did you mean accounts?"),
    ("[accounts]\nqps = 3", "accounts: write it as [[accounts]]"),
    ("accounts = []", "accounts: it is empty; leave it out for one account from the credentials chain"),
    ("http = 3", "http: write it as a section with keys, [http]"),
    (f"{ACCOUNT}[[accounts]]", "accounts[1].name: 'default' is there twice; each account has a name of its own"),
    (
        f'{ACCOUNT}[accounts.credentials]\nprofile = "a"\naccess_key_id = "b"\naccess_key_secret_file = "/dev/null"',
        "accounts[0].credentials: profile and access_key_id contradict each other; use one of them",
    ),
    (
        f'{ACCOUNT}[accounts.credentials]\nexternal_id = "a"',
        "accounts[0].credentials: external_id needs role_arn",
    ),
    (
        f'{ACCOUNT}[accounts.credentials]\naccess_key_id = "b"',
        "accounts[0].credentials: access_key_id and access_key_secret_file belong together; one of them is missing",
    ),
    ('thresholds = ["30d", "720h"]', "thresholds: '720h' is given twice; "),
    ('thresholds = ["5w"]', "thresholds: '5w' is no threshold; write a duration"),
    ('thresholds = ["0s"]', "'0s' would be told at notAfter itself"),
    ('thresholds = ["100%"]', "'100%' is not between 0% and 100% of the lifetime"),
    ("thresholds = [5]", "thresholds: [5] is not allowed; a list of durations"),
    ('pem = "maybe"', "pem: 'maybe' is not allowed; true or false"),
    (
        'journal = "postgres://x"',
        "journal: 'postgres://x' is not allowed; kafka://host:port[,host:port] or sqlite:///path/journal.db",
    ),
    ('journal = "kafka://host"', "journal: 'kafka://host' is not allowed; "),
    ('journal = "sqlite:///"', "journal: 'sqlite:///' is not allowed; "),
    ('journal = "sqlite://relative.db"', "journal: 'sqlite://relative.db' is not allowed; "),
    ('topic_prefix = "a/b"', "topic_prefix: 'a/b' is not allowed; up to 100 of A-Z a-z 0-9 . _ -"),
    (
        '[http]\nlisten = "0.0.0.0:80"',
        "http: listen = '0.0.0.0:80' can be reached from other hosts; it needs token_file",
    ),
    ('[http]\nlisten = "[::]:80"', "it needs token_file"),
    ('[http]\nlisten = "localhost"', "http.listen: 'localhost' is not allowed; host:port"),
    ('[http]\nlisten = "127.0.0.1:x"', "http.listen: '127.0.0.1:x' is not allowed; host:port"),
    ('[http]\ntoken_file = "gone"', "http.token_file: 'gone' is not a file that can be read"),
    ("[kafka]\nreplicas = 1", 'kafka: is set, but journal is not; journal = "kafka://host:port"'),
    ("journal = 'kafka://b:99999'", "journal: 'kafka://b:99999' is not allowed"),
    ("journal = 'sqlite:///tmp'", "journal: /tmp is a directory; name a file in it"),
    ("journal = 'sqlite:///x.db'\n[kafka]\nreplicas = 3", "kafka: is set, but journal is a file"),
    ("pem = 'yes'", "pem: 'yes' is not allowed; true or false"),
    ("pem = 'true'", "pem: 'true' is not allowed; true or false"),
    ("pem = 1", "pem: 1 is not allowed; true or false"),
    ("[[accounts]]\ninsecure = 'yes'", "accounts[0].insecure: 'yes' is not allowed; true or false"),
    ("journal = 'kafka://b:９０９２'", "journal: 'kafka://b:９０９２' is not allowed"),
    ("[[accounts]]\nuid = '١٢'", "accounts[0].uid: '١٢' is not allowed; digits"),
    ("journal = 'kafka://b:c:9092'", "journal: 'kafka://b:c:9092' is not allowed"),
    ('journal = "sqlite:///a\\u0000"', "journal: 'sqlite:///a\\x00' is not allowed"),
    ('[http]\ntoken_file = "\\u0000"', "is not a file that can be read"),
    ("[http]\ntoken_file = '~nobody-of-this-name/x'", "http.token_file: '~nobody-of-this-name/x' is not a file"),
    ("[[accounts]]\nbudget = 0", "accounts[0].budget: 0 is not allowed"),
    ("journal = 'kafka://b:0'", "journal: 'kafka://b:0' is not allowed"),
    ("journal = 'kafka://b:9092,c:70000'", "journal: 'kafka://b:9092,c:70000' is not allowed"),
    ("[[accounts]]\nproxy = 'http://p:99999'", "accounts[0].proxy: 'http://p:99999' is not allowed"),
    ("[[accounts]]\nendpoint = 'https://h:0'", "accounts[0].endpoint: 'https://h:0' is not allowed"),
    ("[http]\ntoken_file = '/tmp'", "http.token_file: '/tmp' is not a file that can be read"),
    ("[[accounts]]\nsweep_every = true", "accounts[0].sweep_every: true is not allowed"),
    ("[[accounts]]\nendpoint = ''", "accounts[0].endpoint: '' is not allowed"),
    ("[[accounts]]\nendpoint = 'https://cas.ali yuncs.com'", "is not allowed; https://host[:port]"),
    ("[[accounts]]\ncredentials.role_arn = 'hello'", "role_arn: 'hello' is not allowed; acs:ram::UID:role/NAME"),
]
KAFKA = 'journal = "kafka://b:9092"\n[kafka]\n'
BAD += [
    (f'{KAFKA}username = "x"', "kafka: security_protocol is PLAINTEXT: username contradicts it"),
    (f'{KAFKA}ca_file = "/dev/null"', "kafka: security_protocol is PLAINTEXT: ca_file contradicts it"),
    (
        f'{KAFKA}security_protocol = "SASL_SSL"',
        "security_protocol is SASL_SSL: sasl_mechanism is missing, username is missing, password_file is missing",
    ),
    (
        f'{KAFKA}security_protocol = "SSL"\ncert_file = "/dev/null"',
        "kafka: cert_file and key_file belong together; one of them is missing",
    ),
    (
        f'{KAFKA}security_protocol = "ssl"',
        "kafka.security_protocol: 'ssl' is not allowed; PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    ),
    (f"{KAFKA}replicas = -1", "kafka.replicas: -1 is not allowed; 1 or more; 0: the broker's default"),
    (f'{KAFKA}transactional_id_prefix = "ä"', "kafka.transactional_id_prefix: 'ä' is not allowed"),
]


@pytest.mark.parametrize(("text", "line"), BAD, ids=[line[:60] for _, line in BAD])
def test_a_bad_value_is_refused_with_file_key_and_what_is_allowed(tmp_path: Path, text: str, line: str) -> None:
    problems = refused(tmp_path, text)
    assert len(problems) == 1, problems
    assert problems[0].startswith("certstream.toml: ")
    assert line in problems[0]


def test_every_problem_is_told_at_once_contradictions_too(tmp_path: Path) -> None:
    problems = refused(
        tmp_path,
        """
        pem = 3
        topicprefix = "x"
        [[accounts]]
        name = "A"
        qps = 12
        [accounts.credentials]
        profile = "a"
        role_arn = "acs:ram::1:role/b"
        tokn = "c"
        [http]
        listen = "0.0.0.0:1"
        """,
        {"CERTSTREAM_KAFKA__REPLICAS": "x", "CERTSTREAM_JOURNAL": "kafka://b:1"},
    )
    for part in (
        "pem: 3 is not",
        "did you mean topic_prefix?",
        "accounts[0].name: 'A'",
        "accounts[0].qps: 12",
        "credentials: profile and role_arn contradict",
        "credentials.tokn: there is no such key",
        "needs token_file",
        "environment: CERTSTREAM_KAFKA__REPLICAS: 'x' is not allowed",
    ):
        assert sum(part in line for line in problems) == 1, (part, problems)
    assert len(problems) == 8, problems


ENVIRONMENT = [
    ({"CERTSTREAM_ACCOUNTS__0__QPS": "11"}, "environment: CERTSTREAM_ACCOUNTS__0__QPS: '11' is not allowed; 1 to 10"),
    (
        {"CERTSTREAM_JORNAL": "x"},
        "environment: CERTSTREAM_JORNAL: there is no such key; did you mean journal?",
    ),
    (
        {"CERTSTREAM_ACCOUNTS__2__QPS": "1"},
        "environment: CERTSTREAM_ACCOUNTS__2__QPS: write CERTSTREAM_ACCOUNTS__<n>__<KEY>; the next free <n> is 0",
    ),
    (
        {"CERTSTREAM_ACCOUNTS__NAME": "x"},
        "environment: CERTSTREAM_ACCOUNTS__NAME: write CERTSTREAM_ACCOUNTS__<n>__<KEY>; the next free <n> is 0",
    ),
    ({"CERTSTREAM_THRESHOLDS": "30x"}, "environment: CERTSTREAM_THRESHOLDS: '30x' is no threshold; "),
    ({"CERTSTREAM_THRESHOLDS": "[1"}, "environment: CERTSTREAM_THRESHOLDS: '[1' is no"),
    ({"CERTSTREAM_PEM": "perhaps"}, "environment: CERTSTREAM_PEM: 'perhaps' is not allowed; true or false"),
    ({"CERTSTREAM_PEM__X": "perhaps"}, "environment: CERTSTREAM_PEM__X: "),
    ({"CERTSTREAM_": "x"}, "environment: CERTSTREAM_: there is no such key"),
    ({"CERTSTREAM_0": "x"}, "environment: CERTSTREAM_0: there is no such key"),
    ({"CERTSTREAM_HTTP__0__X": "x"}, "environment: CERTSTREAM_HTTP__0__X: "),
    ({"CERTSTREAM_ACCOUNTS__²__NAME": "x"}, "the next free <n> is 0"),
    ({"CERTSTREAM_ACCOUNTS__0__1__1": "x"}, "environment: CERTSTREAM_ACCOUNTS__0__1__1: "),
    ({"CERTSTREAM_ACCOUNTS__0__NAME__1": "x"}, "environment: CERTSTREAM_ACCOUNTS__0__NAME__1: "),
    ({"CERTSTREAM_TOKEN": "x"}, "name that: token_file in [http]"),
]


@pytest.mark.parametrize(("environ", "line"), ENVIRONMENT)
def test_a_bad_variable_is_refused_by_its_name(environ: Mapping[str, str], line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(None, {"HOME": "/", **environ})
    assert len(raised.value.problems) == 1, raised.value.problems
    assert line in raised.value.problems[0]


def test_more_than_ten_accounts_may_come_from_the_environment() -> None:
    names = {f"CERTSTREAM_ACCOUNTS__{n}__NAME": f"a{n}" for n in range(12)}
    assert [account.name for account in load(None, {"HOME": "/", **names}).accounts] == [f"a{n}" for n in range(12)]


@pytest.mark.parametrize(("word", "meant"), [("yes", True), ("1", True), ("On", True), ("no", False), ("0", False)])
def test_the_usual_words_say_yes_and_no_by_environment(word: str, meant: bool) -> None:
    config = load(None, {"HOME": "/", "CERTSTREAM_PEM": word, "CERTSTREAM_ACCOUNTS__0__INSECURE": word})
    assert (config.pem, config.accounts[0].insecure) == (meant, meant)


def test_a_variable_for_an_account_over_a_file_where_accounts_is_no_list_is_refused(tmp_path: Path) -> None:
    for accounts in ("5", "'x'", "['x']", "{name = 'x'}"):
        assert refused(tmp_path, f"accounts = {accounts}", {"CERTSTREAM_ACCOUNTS__0__NAME": "x"})


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "pem = true\nthresholds = [\n'30d' '7d']")
    assert line.startswith("certstream.toml: not TOML: ")
    assert "line 3" in line


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "pem = true\npem = false")
    assert "line 2" in line


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file"):
        load(tmp_path / "gone.toml", {})


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"pem = \xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tmp_path / "x", {})


SECRETS = [
    "[[accounts]]\n[accounts.credentials]\naccess_key_secret = 'HUSH'",
    "[[accounts]]\nproxy = 'http://user:HUSH@proxy:3128'",
    "[[accounts]]\nendpoint = 'https://user:HUSH@host'",
    "journal = 'kafka://user:HUSH@host:9092'",
    "journal = 'kafka://b:1'\n[kafka]\npassword = 'HUSH'",
    "[http]\ntoken = 'HUSH'",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    problems = refused(tmp_path, text)
    assert "HUSH" not in "\n".join(problems)


def test_who_writes_a_secret_into_the_file_is_told_where_to_put_it(tmp_path: Path) -> None:
    (line,) = refused(tmp_path, "[http]\ntoken = 'x'")
    assert "put it into a file and name that: token_file" in line


# --- The document ----------------------------------------------------------------------------------------------------


def test_the_document_has_every_key_exit_code_and_metric() -> None:
    text = DOCUMENT.read_text("utf-8")
    for table in (key_rows(), exit_rows(), metric_rows()):
        assert table in text, f"docs/configuration.md should hold:\n{table}"


def key_rows() -> str:
    """The table of all keys, as the document has it."""
    lines = ["| key | default | allowed | meaning | environment |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in _keys(Config, "", "CERTSTREAM_")]
    return "\n".join(lines)


_DEFAULTS = {"journal": "in the user's state directory", "accounts.budget": "the name"}


def _keys(section: type[Section], path: str, variable: str) -> Iterator[tuple[str, ...]]:
    inner = []
    for name, field in section.model_fields.items():
        below = section_of(field)
        if below is not None:
            number = "0__" if name == "accounts" else ""
            inner.append((below, f"{path}{name}.", f"{variable}{name.upper()}__{number}"))
            continue
        assert isinstance(field.json_schema_extra, dict)
        default = _DEFAULTS.get(path + name) or f"`{_toml(field.default)}`"
        allowed, meaning = str(field.json_schema_extra["allowed"]), field.description or ""
        yield f"`{path}{name}`", default, allowed, meaning, f"`{variable}{name.upper()}`"
    for below, at, prefix in inner:
        yield from _keys(below, at, prefix)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def exit_rows() -> str:
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {text} |" for code, text in MEANINGS.items())])


def metric_rows() -> str:
    lines = ["| metric | labels | what it says |", "|---|---|---|"]
    metrics = Metrics()
    for metric in metrics.registry.collect():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        owner = metrics.registry._names_to_collectors[metric.name]
        labels = ", ".join(f"`{label}`" for label in getattr(owner, "_labelnames", ()))
        lines.append(f"| `{name}` | {labels} | {metric.documentation} |")
    return "\n".join(lines)
