import random

import pytest

from MetaCaptioner.agents.sentences import sentences

# Each text with "|" where a sentence ends.
TEXTS = [
    "A cat sits.| A dog runs!| Is it night?| Yes…| No.",
    "It is 3.5 m tall and costs $4.50.| 3 dogs run.",
    "Fruit, e.g. pears, i.e. food, etc.| Dr. Smith meets J. Doe.| Mr. and Mrs. Roe wave.",
    "See Fig. 3 and Eq. 4.| No. 5 is red.| The answer is no.| Then approx. 20 people vs. the others.",
    "Est. 1990, dated Jan. 5.| It took 5 min.| Smith et al. (2020) say max. 20 in c. 1850.",
    "Open from 9 a.m. to 5 p.m. today.| The clock shows 10:30 a.m.| The sky is blue.",
    "The U.S. Army flies a flag of the U.S.| The angle at C.| The line is red.",
    "A file index.html at www.example.com.| Version 1.2.3 runs.",
    'A sign reads "Stop. Go. Now." in red letters.| Below it is a dog.',
    'The sign says "Stop."| The car is red.| "Go!" it says.| He says “No. Way.” and left.',
    "The text 'Open. Come in.' is blue.| The door's colour isn't.| It's closed.",
    'The screen is 5" wide.| It is black.| The other is 6" wide.',
    "A man (who is tall. really) waits... then goes.| (See left.)| Then it ends.",
    "Wait... what?| Then. lower case goes on.",
    "1. First.| 2. Second.| (3) Third.",
    "**Bold.**| Next *one.*| _Third._",
    "一只猫坐在垫子上。|它是黑色的！|旁边有两个球？|是的。",
    "机の上に本が3冊あります。|「止まれ。危険」と書かれた看板が見えます。|右側には猫がいます。",
    "牌子上写着“停。走。”几个字。|下面是狗。",
    "यह एक बिल्ली है।| वह काली है।",
    "هذا قط.| هل هو أسود؟| نعم.",
    "Er trägt z.B. einen Hut bzw. eine Mütze.| Sie geht ca. 3 km.",
    "¿Dónde está?| ¡Aquí!| Está en la calle del Sr. López.",
    "Un chat.| « Il est. Là. » dit-elle.| Fin.",
    "no full stop at all",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_where_sentences_end(text: str) -> None:
    found = sentences(text.replace("|", ""))
    assert "|".join(found).replace(" |", "| ") == text


def test_no_text_is_lost_whatever_is_in_it() -> None:
    signs = [*"aB1. .\n|-()\"'“”。！「」é🎉\u2028\u3000\u00a0\t:>\r\x0b\x00٣", "e.g. ", "Dr. ", "U.S. ", '"A." ']
    rng = random.Random(1)
    for _ in range(3000):
        text = "".join(rng.choice(signs) for _ in range(rng.randrange(40)))
        assert "".join(sentences(text)) == text
