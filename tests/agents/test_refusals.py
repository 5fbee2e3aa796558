from pathlib import Path

import pytest

from MetaCaptioner.agents.prompt_schema import PromptError
from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.agents.refusals import Refusals
from tests.helpers import write_prompts

REFUSED = """\
I'm sorry, but I can't help with that.
I’m sorry, I can’t assist with that request.
I cannot assist with identifying people in images.
Sorry, but I'm unable to help with that.
I apologize, but I cannot fulfill this request.
As an AI language model, I cannot assist with this request.
I can't help with that. However, I can describe the general scene if you tell me more about it.
I must decline to describe this image.
I'm not able to provide a description of this image.
I can't identify people in images.
I won't help with this.
Unfortunately, I am unable to process this image.
**I'm sorry, but I cannot assist with that.**
抱歉，我无法协助处理该请求。
很抱歉，我不能帮助您完成这个请求。
对不起，我无法满足您的请求。
作为一个人工智能助手，我无法提供该描述。
抱歉，但我无法识别人物。
Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.
Leider kann ich diese Anfrage nicht beantworten.
Entschuldigung, ich kann dieses Bild nicht beschreiben.
Je suis désolé, mais je ne peux pas vous aider avec cette demande.
Désolé, je ne peux pas répondre à cette demande.
Je ne peux pas décrire cette image.
Lo siento, pero no puedo ayudar con eso.
Lo siento, no puedo cumplir con esa solicitud.
No puedo describir esta imagen.
申し訳ありませんが、そのリクエストにはお応えできません。
申し訳ございませんが、お手伝いすることはできません。
すみませんが、この画像を説明することはできません。""".splitlines()

ANSWERED = """\
A sign on the door reads "I cannot help with that" in red letters.
"I cannot help with that," says the speech bubble above the robot.
I CAN'T HELP WITH THAT stands in bold letters on a mug.
The chat window shows the assistant's answer: I'm sorry, but I can't assist with that.
I can't help but notice how the light falls on the wet street.
I cannot make out the licence plate; the car is red and stands before a brick house.
Sorry, we are closed: the wooden board hangs behind the glass of the shop door.
I'm sorry, the card says, above a drawing of a bear that holds a flower.
The person helps a child; the man cannot see the ball.
I can see a man who cannot assist the woman since his hands are full.
No text can be read in the picture.
I'm sorry, but I can't see any text in this picture.
Unfortunately for the fisherman, the net in the picture is torn.
As an AI-generated picture, it shows six fingers on the left hand.
Thank you for not smoking, says the plate next to the lift.
The caption is a refusal: I cannot help with that.
I am unable to determine the year on the coin, which is worn; a laurel wreath surrounds the head.
一块牌子上写着“抱歉，我无法协助”。
抱歉，本店今日休息：玻璃门上贴着一张红色的告示。
图中的人无法识别，但可以看到他穿着蓝色外套。
我国的国旗在广场上飘扬，人群站在栏杆后面。
Auf dem Schild steht: „Ich kann Ihnen dabei nicht helfen“.
Leider geschlossen steht auf dem Zettel an der Tür der Bäckerei.
Ich kann dabei nicht lesen, was auf dem Schild steht, aber der Zug ist blau.
Un panneau indique « Je ne peux pas vous aider ».
Désolé, complet : l'affiche est collée sur la vitrine d'un hôtel.
Un cartel dice "No puedo ayudar con eso" sobre una pared blanca.
Lo siento, cerrado por vacaciones: el cartel cuelga de la puerta.
看板には「お手伝いできません」と書かれている。
申し訳ありませんが本日は休業です、という貼り紙が店のドアにある。""".splitlines()


@pytest.fixture(scope="module")
def shipped() -> Refusals:
    return load_prompts().judge.refusals


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_is_found(shipped: Refusals, text: str) -> None:
    assert shipped.is_one(text)
    assert shipped.is_one(f"\n  {text}\n")


@pytest.mark.parametrize("text", ANSWERED)
def test_an_answer_that_quotes_or_resembles_one_is_none(shipped: Refusals, text: str) -> None:
    assert not shipped.is_one(text)


def test_a_long_answer_is_no_refusal_however_it_begins(shipped: Refusals) -> None:
    begun = "I can't help with that question, but here is what can be seen. "
    assert shipped.is_one(begun)
    assert not shipped.is_one(begun + "A red bus stands at a corner, and people wait in the rain. " * 10)
    weak = "I can't identify people in images. "
    assert shipped.is_one(weak)
    assert not shipped.is_one(weak + "A man in a blue coat holds a child by the hand; behind them lie boats. " * 3)


def test_the_list_can_be_replaced_and_left_empty(tmp_path: Path) -> None:
    own = {"Dutch": {"openers": ["Sorry,"], "refusals": ["Ik kan (je|u) (hier|daar|)mee niet helpen"]}}
    refusals = load_prompts(write_prompts(tmp_path / "own", refusals=own)).judge.refusals
    assert refusals.is_one("Sorry, ik kan u daarmee niet helpen.")
    assert refusals.is_one("Ik kan je mee niet helpen")
    assert not refusals.is_one("I'm sorry, but I can't help with that.")
    none = load_prompts(write_prompts(tmp_path / "none", refusals="{}")).judge.refusals
    assert none == Refusals()
    assert not none.is_one("I'm sorry, but I can't help with that.")


def test_the_list_is_no_part_of_what_is_asked(tmp_path: Path) -> None:
    assert load_prompts(write_prompts(tmp_path, refusals="{}")).digest() == load_prompts().digest()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"English": ["I can't"]}, "English: "),
        ({"English": {"phrases": ["I can't"]}}, "English.phrases: Extra inputs are not permitted"),
        ({"English": {"refusals": ["I (can't help"]}}, "English.refusals: 'I (can't help': a bracket is not closed"),
        ({"English": {"refusals": ["I can't) help"]}}, "a bracket is not closed"),
        ({"English": {"short": [" "]}}, "English.short.0: "),
        ("English: [", "is no valid YAML"),
    ],
)
def test_a_wrong_list_is_one_line_that_names_the_file(tmp_path: Path, content: object, complaint: str) -> None:
    with pytest.raises(PromptError) as raised:
        load_prompts(write_prompts(tmp_path, refusals=content))
    assert str(raised.value).startswith(f"prompt file {tmp_path / 'refusals.yaml'}: ")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)
