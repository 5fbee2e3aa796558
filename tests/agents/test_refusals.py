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
すみませんが、この画像を説明することはできません。
I’m sorry, but I can’t provide the identity of the person in this image.
I'm sorry, I can't help with identifying or describing people in this image.
I can't assist with that.
Sorry, I can't do that.
I'm really sorry, but I can't help with that.
I am unable to fulfill this request as it contains explicit content.
I cannot create content that sexualizes people.
I'm sorry, but I am not able to provide a caption for this image.
I’m unable to provide assistance with that.
I don't feel comfortable describing this image.
I cannot describe this image as it contains graphic violence.
I can’t discuss the content of this image.
I'm not able to engage with this content.
Sorry, but I can't comply with that request.
I will not describe this image.
I'm sorry, but I can't identify or describe the person in the image.
I can't provide information about the identity of real people.
I'm sorry, but I can't provide a detailed description of this image.
I'm sorry, I cannot help you with this.
抱歉，我不能提供帮助。
对不起，我不能回答这个问题。
我无法回答这个问题。
抱歉，这个问题我无法回答。
作为AI助手，我不能对图片中的人物进行识别。
很抱歉，我无法描述这张图片的内容。
您好，我无法给到相关内容。
Es tut mir leid, aber ich kann bei dieser Anfrage nicht helfen.
Tut mir leid, dabei kann ich nicht helfen.
Ich kann Ihnen bei dieser Anfrage leider nicht weiterhelfen.
Es tut mir leid, aber ich kann keine Personen auf Bildern identifizieren.
Désolé, mais je ne peux pas vous aider.
Je suis désolée, je ne peux pas décrire ce contenu.
Je ne suis pas en mesure de répondre à cette demande.
Je suis désolé, mais je ne peux pas t'aider avec ça.
Lo siento, no puedo ayudarte con eso.
Lo siento, pero no puedo asistir con esa solicitud.
Lo siento, no puedo proporcionar una descripción de esta imagen.
Lo siento, pero no puedo ayudarte.
申し訳ありませんが、お答えできません。
申し訳ありませんが、その質問にはお答えできません。
申し訳ありませんが、その要求には応じられません。
ご要望にお応えすることができません。
申し訳ございませんが、この画像の人物を特定することはできません。
申し訳ありませんが、それについてはお手伝いできません。
I'm sorry, but I'm not able to help with identifying individuals in photographs.
I apologize, but I can't describe this image.
I am not able to assist with that request.
I can't fulfil that request.
I'm sorry, but I cannot process this image as it may contain sensitive content.
I'm sorry. I can't assist with this request as it involves explicit material.
As an AI assistant, I'm unable to describe this image.
I cannot respond to this request.
Sorry, I can't assist with identifying people.
I will not provide a description of this image.
非常抱歉，我无法为您提供该图片的描述。
对不起，我无法帮助你处理这个请求。
抱歉，我不能协助完成此任务。
Es tut mir leid, aber ich kann dieses Bild nicht beschreiben.
Leider kann ich Ihnen dabei nicht weiterhelfen.
Entschuldigung, aber ich kann keine Beschreibung dieses Bildes liefern.
Désolé, je ne peux pas décrire cette image.
Je suis désolé, mais je ne peux pas fournir de description de cette image.
Je ne peux pas vous aider à identifier cette personne.
Lo siento, pero no puedo describir esta imagen.
Lamentablemente, no puedo ayudarte con esa solicitud.
Lo siento, no puedo responder a esa pregunta.
申し訳ありませんが、このリクエストにはお応えできません。
申し訳ございません。ご依頼に対応することができません。
すみません、お手伝いできません。""".splitlines()

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
申し訳ありませんが本日は休業です、という貼り紙が店のドアにある。
I cannot see any people in this image; it shows an empty street at night with wet asphalt.
I can't identify the brand of the car, which is parked at the kerb.
I cannot describe the colour with certainty: the lamp tints everything yellow.
The image cannot be described without its frame: a gilded border of leaves.
Sorry sight: a wrecked boat lies on the sand.
I do not know the name of the tower; it is tall and has a clock.
I'm sorry for your loss is written on the card between two white lilies.
我不能确定这是哪一年，但照片是黑白的。
对不起三个字写在沙滩上，旁边有一颗心。
我无法看清车牌，车是红色的。
Ich kann keine Personen erkennen; die Straße ist leer, und es regnet.
Leider ist das Bild unscharf; man sieht einen Hund auf einer Wiese.
Es tut mir leid steht auf der Karte neben dem Blumenstrauß.
Je ne peux pas lire le panneau, qui est trop loin; la route monte vers un col.
Malheureusement floue, la photo montre un chien qui court.
No puedo leer el letrero; la calle está vacía.
Lo siento mucho, dice la tarjeta junto a las flores.
No puedo identificar la marca del coche, que es rojo.
人物は写っていません。港に三隻の船が並んでいます。
この画像には文字がありません。
I can see the help desk, where a man assists a customer.
I must say the light is lovely: a sunset over the sea.
I won! is printed on the shirt of the runner.
As an assistant holds the lamp, the dentist bends over the patient.
I can't quite make out the text on the banner above the stage, but the crowd waves flags.
I cannot tell whether it is dawn or dusk; the sky is orange.
I'm sorry cards fill the rack; below them are envelopes.
I am a robot, says the label on the toy's chest.
Sorry! reads the sign taped over the broken ticket machine.
The judge would refuse: I must decline, says the man in the comic.
My apologies for the delay stands on the display of the platform.
Unable to connect, the screen says; a hand holds the phone.
Access denied is written in red across the laptop.
我不知道这座塔的名字，它很高，有一座钟。
无法通行的道路上立着一块红色的牌子。
对不起，我爱你——墙上的涂鸦这样写着。
您好，欢迎光临：门口的横幅是红底白字。
Entschuldigung, wo ist der Bahnhof? steht in der Sprechblase.
Leider nein, sagt das Schild im Schaufenster.
Das Bild kann nicht ohne seinen Rahmen beschrieben werden.
Pardon, le musée est fermé : une affiche sur la grille.
Je ne peux pas distinguer le visage, qui est dans l'ombre ; la femme porte un manteau.
No puedo distinguir el rostro; la mujer lleva un abrigo rojo.
Perdón, estamos cerrados: el letrero cuelga torcido.
すみません、通ります、と書かれたTシャツを着た人が歩いている。
この画像は暗く、細部は見えません。
それは対応する色で塗られた地図です。
お答えください、と書かれたアンケート用紙が机にある。
The error page reads: I'm sorry, but I can't help with that.""".splitlines()


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
