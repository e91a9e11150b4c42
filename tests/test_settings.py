"""Settings are read once, checked whole, and complain about the name and never about the value."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from chatgateway import settings
from chatgateway.errors import SettingsError
from chatgateway.settings import Secret, Settings, load

HIDDEN = "hunter2-hunter2"


class TestSources:
    def test_without_any_source_every_setting_has_its_default(self) -> None:
        assert load({}, {}) == Settings()

    def test_flags_beat_the_environment_which_beats_the_file(self, tmp_path: Path) -> None:
        file = tmp_path / "chatgateway.toml"
        file.write_text('host = "file"\nport = 1001\nlog_level = "error"\n')
        environ = {"CHATGATEWAY_PORT": "1002", "CHATGATEWAY_LOG_LEVEL": "debug"}
        found = load({"log_level": "warning", "host": None}, environ, file)
        assert (found.host, found.port, found.log_level) == ("file", 1002, "warning")

    def test_the_environment_may_name_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "c.toml").write_text("text_max_bytes = 99")
        assert load({}, {"CHATGATEWAY_CONFIG": str(tmp_path / "c.toml")}).text_max_bytes == 99

    def test_an_empty_variable_counts_as_absent(self) -> None:
        assert load({}, {"CHATGATEWAY_PORT": ""}).port == Settings().port

    def test_variables_of_others_are_not_ours(self) -> None:
        assert load({}, {"PORT": "x", "CHATGATE_PORT": "y"}) == Settings()

    def test_a_list_is_separated_by_commas(self) -> None:
        found = load({}, {"CHATGATEWAY_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8"})
        assert found.trusted_proxies == ("10.0.0.0/8", "fd00::/8")

    def test_a_flag_that_names_the_store_beats_a_variable_that_names_the_other_kind(self, tmp_path: Path) -> None:
        environ = {"CHATGATEWAY_STORE_URL": "redis://h", "CHATGATEWAY_MASTER_KEY": "k"}
        assert load({"data": tmp_path}, environ).store_url is None


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("environ", "sentence"),
        [
            ({"CHATGATEWAY_PROT": "1"}, r"CHATGATEWAY_PROT: unknown setting; .* CHATGATEWAY_PORT"),
            ({"CHATGATEWAY_PORT_FILE": "/x"}, r"CHATGATEWAY_PORT_FILE: unknown setting"),
        ],
    )
    def test_in_the_environment_are_errors_that_name_the_nearest(self, environ: dict[str, str], sentence: str) -> None:
        with pytest.raises(SettingsError, match=sentence):
            load({}, environ)

    def test_in_the_file_are_errors(self, tmp_path: Path) -> None:
        (tmp_path / "c.toml").write_text("prot = 1")
        with pytest.raises(SettingsError, match=r"c\.toml: prot: unknown .* port"):
            load({}, {}, tmp_path / "c.toml")

    def test_as_flags_are_errors(self) -> None:
        with pytest.raises(SettingsError, match=r"--log-levle: unknown .* --log-level"):
            load({"log_levle": "info"}, {})


class TestBounds:
    @pytest.mark.parametrize(
        ("name", "text", "sentence"),
        [
            ("PORT", HIDDEN, "a whole number from 0 to 65535"),
            ("PORT", "65536", "a whole number from 0 to 65535"),
            ("HELLO_TIMEOUT_S", "0", "a number above 0 to 60"),
            ("HELLO_TIMEOUT_S", "nan", "a number above 0 to 60"),
            ("HELLO_TIMEOUT_S", "60.1", "a number above 0 to 60"),
            ("LOG_LEVEL", HIDDEN, "one of debug, error, info, warning"),
            ("PUBLIC_URL", "https://h/path", "a URL without a path"),
            ("PUBLIC_URL", "https://h\n", "a URL without a path"),
        ],
    )
    def test_are_named_without_the_value(self, name: str, text: str, sentence: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load({}, {f"CHATGATEWAY_{name}": text})
        assert str(caught.value).startswith(f"CHATGATEWAY_{name}: expected {sentence}")
        assert HIDDEN not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_hold_however_the_settings_are_built(self) -> None:
        with pytest.raises(SettingsError, match="port: expected a whole number"):
            Settings(port=70_000)

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            ({"text_max_bytes": 2000, "inbound_max_bytes": 1000}, "text_max_bytes: expected at most"),
            ({"lease_s": 20.0}, "lease_s: expected at most the value of cut_off_s"),
            ({"data": "/d", "store_url": "redis://h", "master_key": "k"}, "exclude each other"),
            ({"store_url": "redis://h"}, "master_key: required with store_url"),
            ({"trusted_proxies": "10.0.0.1/8"}, "trusted_proxies: expected networks"),
        ],
    )
    def test_between_settings_hold(self, flags: dict[str, object], sentence: str) -> None:
        with pytest.raises(SettingsError, match=sentence):
            load(flags, {})

    def test_a_file_that_is_not_toml_is_not_quoted(self, tmp_path: Path) -> None:
        (tmp_path / "c.toml").write_text(f"master_key = {HIDDEN}")
        with pytest.raises(SettingsError, match="not a TOML file") as caught:
            load({}, {}, tmp_path / "c.toml")
        assert HIDDEN not in str(caught.value)


class TestSecrets:
    def test_show_nothing_in_any_form(self) -> None:
        secret = Secret(HIDDEN)
        shown = f"{secret} {secret!r} {[secret]} {Settings(master_key=secret)}" + "%s" % secret  # noqa: UP031
        assert HIDDEN not in shown
        assert secret.reveal() == HIDDEN

    def test_are_equal_by_value(self) -> None:
        assert Secret("a") == Secret("a") != Secret("b")
        assert hash(Secret("a")) == hash(Secret("a"))

    def test_may_come_from_a_file_without_its_last_newline(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(HIDDEN + "\n")
        found = load({}, {"CHATGATEWAY_MASTER_KEY_FILE": str(tmp_path / "key")})
        assert found.master_key == Secret(HIDDEN)

    def test_from_two_places_at_once_are_an_error(self, tmp_path: Path) -> None:
        environ = {"CHATGATEWAY_MASTER_KEY": "a", "CHATGATEWAY_MASTER_KEY_FILE": "b"}
        with pytest.raises(SettingsError, match="exclude each other"):
            load({}, environ)

    @pytest.mark.parametrize("content", [None, "", " \n"])
    def test_from_a_missing_or_empty_file_are_an_error(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "key").write_text(content)
        with pytest.raises(SettingsError, match="CHATGATEWAY_MASTER_KEY_FILE: the file"):
            load({}, {"CHATGATEWAY_MASTER_KEY_FILE": str(tmp_path / "key")})


class TestPlaces:
    def test_follow_the_base_directories(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
        assert Settings().data_directory == tmp_path / "d" / "chatgateway"
        assert Settings().watermark_of("sto_1").parent == tmp_path / "s" / "chatgateway"

    def test_a_relative_base_directory_is_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", "somewhere")
        assert Settings().data_directory.is_absolute()

    def test_a_store_and_its_copy_elsewhere_have_one_watermark_and_two_stores_have_two(self, tmp_path: Path) -> None:
        one, copy = (Settings(data=tmp_path / name).watermark_of("sto_1") for name in "ab")
        assert one == copy != Settings().watermark_of("sto_2")
        assert tmp_path not in one.parents
        assert Settings(watermark=tmp_path / "w").watermark_of("sto_1") == tmp_path / "w"


class TestDocumentation:
    def test_every_setting_says_why(self) -> None:
        fields = [field.name for field in msgspec.structs.fields(Settings)]
        assert list(settings.explanations()) == fields

    def test_every_number_names_its_unit(self) -> None:
        units = re.compile(r"_(s|h|minutes|days|bytes|max|frames|burst|per_s)\Z|\A(port)\Z")
        for field in msgspec.structs.fields(Settings):
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                assert units.search(field.name), field.name

    def test_the_example_file_is_the_generated_one(self) -> None:
        written = Path(__file__).parent.parent / "deploy" / "example.env"
        assert written.read_text() == settings.example(), (
            "write it anew: chatgateway check --example > deploy/example.env"
        )

    def test_the_example_with_every_line_in_force_is_the_default(self) -> None:
        lines = (line[1:] for line in settings.example().splitlines() if line.startswith("#CHATGATEWAY_"))
        assert load({}, dict(line.split("=", 1) for line in lines)) == Settings()
