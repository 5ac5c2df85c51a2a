"""Anonymise video by pruning tubelets: the action stays recognisable, the person less so.

A video transformer has two CLS tokens, one for the action and one for what is private. Where their attention differs
says which tubelets the action needs and the attributes do not; the others are removed, in the network and in the
pixels. What is hidden is hidden from the attackers that were tried; nothing here is a formal guarantee.
"""

from tubelet.runs.card import Card

CARD = Card(
    name="anonymization",
    title="hide who it is and keep what is done, by removing tubelets",
    problem="Given a video, publish one in which an action recogniser still works while an attacker learns less about "
    "skin colour, face, gender, nudity, relationship or identity.",
    source="arXiv:2603.26336",
    licence="Apache-2.0",
    scope="Masked videos, and measurements of what attackers still read from them. Empirical: no formal privacy, and "
    "the mask itself shows shapes.",
)
