"""One origin has one spelling, and a list matches what its reader would expect and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgateway.core.origin import allowed, normalise, normalise_pattern
from chatgateway.errors import OriginForbidden


class TestNormalise:
    @pytest.mark.parametrize(
        ("written", "normal"),
        [
            ("https://example.com", "https://example.com"),
            ("HTTPS://Example.COM", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("https://example.com:8443", "https://example.com:8443"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("https://XN--STRAE-OQA.de", "https://xn--strae-oqa.de"),
            ("https://a_b.example.com", "https://a_b.example.com"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("http://[2001:DB8:0:0:0:0:0:1]", "http://[2001:db8::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("null", "null"),
            ("https://1e100.net", "https://1e100.net"),
            ("https://example.com:1", "https://example.com:1"),
            ("https://example.com:65535", "https://example.com:65535"),
            ("https://" + "a." * 125 + "com", "https://" + "a." * 125 + "com"),
        ],
    )
    def test_brings_into_the_browsers_spelling(self, written: str, normal: str) -> None:
        assert normalise(written) == normal
        assert normalise(normal) == normal

    @pytest.mark.parametrize(
        "hostile",
        [
            "",
            "*",
            "NULL",
            "null ",
            "example.com",
            "//example.com",
            "https:example.com",
            "https:/example.com",
            "https://",
            "https:///example.com",
            "https://example.com/",
            "https://example.com/path",
            "https://example.com?q",
            "https://example.com#f",
            "https://user@example.com",
            "https://user:pw@example.com",
            "https://example.com\\@evil.example",
            "https://example.com:",
            "https://example.com:0",
            "https://example.com:080",
            "https://example.com:65536",
            "https://example.com:99999999",
            "https://example.com:-1",
            "https://example.com:8a",
            "https://example.com:\u0661\u0662",
            "https://example.com:443:443",
            " https://example.com",
            "https://example.com ",
            "https://example.com\n",
            "https://example.com\0.evil.example",
            "https://exam ple.com",
            "https://example.com.",
            "https://.example.com",
            "https://example..com",
            "https://-example.com",
            "https://example-.com",
            "https://" + "a" * 64 + ".com",
            "https://" + "a." * 125 + "come",
            "https://straße.de",
            "https://ｅxample.com",
            "https://example。com",
            "https://ex%61mple.com",
            "https://*.example.com",
            "https://exa*mple.com",
            "https://1.2.3",
            "https://1.2.3.4.5",
            "https://256.1.1.1",
            "https://01.2.3.4",
            "https://0x7f.1",
            "https://127.0.0.0x1",
            "https://2130706433",
            "https://[::1",
            "https://::1",
            "https://[::1]]",
            "https://[::g]",
            "https://[fe80::1%25eth0]",
            "https://[1.2.3.4]",
            "1https://example.com",
            "ht tps://example.com",
            "https://example.com, https://evil.example",
            "https://example.com https://evil.example",
            "\ud800",
            "https://" + "a" * 10_000,
        ],
    )
    def test_refuses_what_is_not_an_origin(self, hostile: str) -> None:
        with pytest.raises(OriginForbidden, match="is not an origin") as refusal:
            normalise(hostile)
        assert len(str(refusal.value)) < 900
        assert not allowed(hostile, (hostile, "https://*.example.com"), absent_ok=True)

    @given(st.text(max_size=40) | st.text("htps:/.*[]@0123456789-axn", max_size=40))
    def test_is_stable_or_refuses(self, text: str) -> None:
        try:
            normal = normalise(text)
        except OriginForbidden:
            return
        assert normalise(normal) == normal == normal.lower()


class TestPattern:
    @pytest.mark.parametrize(
        ("written", "normal"),
        [
            ("HTTPS://*.Example.com:443", "https://*.example.com"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("http://*.localhost:3000", "http://*.localhost:3000"),
            ("https://Example.com", "https://example.com"),
            ("null", "null"),
        ],
    )
    def test_has_one_spelling(self, written: str, normal: str) -> None:
        assert normalise_pattern(written) == normal

    @pytest.mark.parametrize(
        "wrong",
        [
            "*",
            "*.example.com",
            "*://example.com",
            "https://*",
            "https://*.com",
            "https://*.*.example.com",
            "https://a.*.example.com",
            "https://*example.com",
            "https://*.example.com/",
            "https://*.0.0.1",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "https://example.com:*",
        ],
    )
    def test_that_means_too_much_is_refused(self, wrong: str) -> None:
        with pytest.raises(OriginForbidden):
            normalise_pattern(wrong)
        assert not allowed("https://example.com", (wrong,), absent_ok=True)


class TestAllowed:
    LIST = ("https://Example.com", "https://*.shop.example:8443", "http://localhost:3000")

    @pytest.mark.parametrize(
        "origin",
        [
            "https://example.com",
            "https://example.com:443",
            "https://a.shop.example:8443",
            "https://a.b.shop.example:8443",
            "http://localhost:3000",
        ],
    )
    def test_what_is_on_the_list(self, origin: str) -> None:
        assert allowed(origin, self.LIST, absent_ok=False)

    @pytest.mark.parametrize(
        "origin",
        [
            "http://example.com",
            "https://example.com:8443",
            "https://www.example.com",
            "https://example.com.evil.example",
            "https://evilexample.com",
            "https://shop.example:8443",
            "https://a.shop.example",
            "https://evilshop.example:8443",
            "http://a.shop.example:8443",
            "https://.shop.example:8443",
            "https://*.shop.example:8443",
            "http://localhost",
            "null",
        ],
    )
    def test_but_nothing_beside_it(self, origin: str) -> None:
        assert not allowed(origin, self.LIST, absent_ok=True)

    def test_an_absent_origin_where_the_app_says_so(self) -> None:
        assert allowed(None, (), absent_ok=True)
        assert not allowed(None, self.LIST, absent_ok=False)

    def test_null_only_where_the_list_says_so(self) -> None:
        assert allowed("null", ("null",), absent_ok=False)
        assert not allowed("null", ("https://example.com",), absent_ok=True)

    def test_nothing_on_an_empty_list(self) -> None:
        assert not allowed("https://example.com", (), absent_ok=True)
