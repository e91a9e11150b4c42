"""Explain a customer token to whoever signed it: what is wrong, why, and what to change, in one sentence.

The verdict is always the verifier's own (core/token.py). What is added here goes on where the verifier stops: it takes
off what was pasted around the token, tries what might have been meant as the key, and reads claims that nobody vouched
for. None of it decides anything, and nothing of it may be shown to a visitor.
"""

from __future__ import annotations

from chatgateway.core.doctor.examination import diagnose
from chatgateway.core.doctor.finding import Diagnosis, Facts, Finding, Mistake, Verdict
from chatgateway.core.doctor.sentences import SENTENCES, finding_of

__all__ = ["SENTENCES", "Diagnosis", "Facts", "Finding", "Mistake", "Verdict", "diagnose", "finding_of"]
