"""The page of the server, in a real browser. `scripts/test_page.sh` installs one, and runs these tests."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("websockets", reason="needs the extra serve")
pytest.importorskip("selenium", reason="no driver of browsers is installed; scripts/test_page.sh installs one")
import tiny_listener
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select
from serving import TEXT_RUN, Running, running
from tiny_pictures import caption_config, shape, write_captions

from latent.images.files import write_image
from latent.longform.cast import Role
from latent.recognition.recognizers import open_recognizer
from latent.synthesis.voices import open_voice
from s2s.run import train_run
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import RecognitionModel, ServedModel, SpeechModel, open_model
from unilatent.server.speech_jobs import SpeechJob

REPO = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no Chromium with chromedriver; scripts/test_page.sh installs them"
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1000,1000 "
    "--use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
)
DIALOGUE = "Anna: Good morning. Thank you for calling.\nBen: Good morning. [pause 0.3] Please hold the line."
DICTATED = ["assistant\n", '[{"Start":0.0,"End":1.25,"Speaker":0,"Content":"Tea & <cake>."}']
DICTATED += [',{"Start":1.25,"End":2,"Speaker":1,', '"Content":"Hi."}', "]"]
T = TypeVar("T")


class Hold:
    """Makes voices wait after some more pieces, until the test lets them go on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._released, self._left = threading.Event(), 0
        self.release()
        open_session = SpeechJob.open_session
        patch.setattr(SpeechJob, "open_session", lambda job: self._held(open_session(job)))

    def after(self, pieces: int) -> None:
        self._left = pieces
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def _held(self, session: Any) -> Any:
        step = session.step

        def slow_step() -> Any:
            self._left -= 1
            assert self._left >= 0 or self._released.wait(100)
            return step()

        session.step = slow_step
        return session


class Page:
    """The page in a browser."""

    def __init__(self, browser: Any, url: str, hold: Hold, downloads: Path) -> None:
        self.browser, self.url, self.hold, self.downloads = browser, url, hold, downloads

    def open(self, tab: str) -> None:
        self.browser.get("about:blank")
        self.browser.get(f"{self.url}/#{tab}")
        self.wait(lambda: self.find(f"#{tab}-tab").get_attribute("aria-selected") == "true")
        self.wait(lambda: self.find(f"#{tab} select").text)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element; empty if there is none."""
        return "".join(element.text for element in self.browser.find_elements(By.CSS_SELECTOR, selector))

    def fill(self, selector: str, text: str) -> None:
        self.find(selector).clear()
        self.find(selector).send_keys(text)

    def js(self, script: str) -> Any:
        return self.browser.execute_script(f"return {script}")

    def audio(self, property: str) -> Any:
        return self.js(f"document.getElementById('audio').{property}")

    def busy(self, tab: str) -> bool:
        return bool(self.find(f"#{tab} form").get_attribute("aria-busy") == "true")

    def status(self, tab: str) -> str:
        return self.find(f"#{tab} .status").text

    def focused(self) -> WebElement:
        return self.browser.switch_to.active_element

    def wait(self, true: Callable[[], T], seconds: float = 120) -> T:
        """The first value of `true` that is not false."""
        until = time.monotonic() + seconds
        while not (value := true()):
            assert time.monotonic() < until, self.find("main").text
            time.sleep(0.05)
        return value


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    limits, metrics = Limits(), Metrics()
    quick = ["decoder.num_inference_steps=2", "decoder.guidance_scale=1"]  # understandable it need not be
    voice = open_voice(REPO / "latent/demo_voice", overrides=quick)
    roles = {name: Role(name) for name in voice.speakers}
    demo = SpeechModel("demo", "demo", voice, roles, limits, metrics)
    words = open_model("words", str(TEXT_RUN), "cpu", {}, False, limits, metrics)
    with running([demo, words, describer(limits, metrics), *listeners(limits, metrics)], limits, metrics) as server:
        yield server


def describer(limits: Limits, metrics: Metrics) -> ServedModel:
    """A model that writes captions, with weights that are nearly random."""
    with tempfile.TemporaryDirectory() as home:
        run = Path(home) / "shapes"
        train_run(caption_config(write_captions(Path(home)), languages=["en", "de"]), run)
        return open_model("shapes", str(run), "cpu", {}, False, limits, metrics)


def listeners(limits: Limits, metrics: Metrics) -> list[ServedModel]:
    """A recognizer of whole recordings, and a live one; both say the same of whatever they hear."""
    with tempfile.TemporaryDirectory() as home:
        whole = tiny_listener.write_listener(Path(home) / "whole", DICTATED)
        live = tiny_listener.write_listener(
            Path(home) / "live", ["\nSpeaker 0:", "Good. ", "\nSpeaker 1:", "Hi. "], True
        )
        return [
            RecognitionModel(folder.name, folder.name, open_recognizer(folder, device="cpu"), limits, metrics)
            for folder in (whole, live)
        ]


@pytest.fixture(scope="module")
def page(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--user-data-dir={folder}/profile"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    browser = webdriver.Chrome(options=options, service=Driver(CHROMEDRIVER))
    with pytest.MonkeyPatch.context() as patch:
        yield Page(browser, server.url, Hold(patch), folder)
    browser.quit()


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two seconds."""
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path_factory.mktemp("talk") / "talk.flac"
    soundfile.write(path, 0.1 * np.random.default_rng(1).standard_normal(48_000), 24_000)
    return path


def speak_dialogue(page: Page, script: str = DIALOGUE) -> None:
    page.open("speak")
    page.find("#speak input[value=script]").click()
    page.fill("#speak-script", script)
    page.find("#speak [type=submit]").click()


def test_a_dialogue_is_heard_before_it_is_made_and_can_be_downloaded(page: Page, server: Running) -> None:
    import soundfile

    page.hold.after(16)
    speak_dialogue(page)
    assert [label.text for label in page.browser.find_elements(By.CSS_SELECTOR, "#cast label")] == ["Anna", "Ben"]
    page.wait(lambda: page.audio("currentTime"))
    assert page.busy("speak")
    assert page.text("#made")  # it is speech that is heard, not silence before it
    assert not page.find("#download").is_displayed()
    page.hold.release()
    page.wait(lambda: not page.busy("speak"))
    page.wait(lambda: page.audio("src").startswith("blob:"))  # played to its end
    page.find("#download").click()
    file = page.downloads / "speech.wav"
    page.wait(file.exists)
    samples, rate = soundfile.read(file, dtype="int16")
    roles = {"Anna": "af_alloy", "Ben": "af_aoede"}
    body = {"model": "demo", "input": DIALOGUE, "cast": roles, "response_format": "pcm"}
    answer = server.client.post("/v1/audio/script", json=body)
    assert samples.astype("<i2").tobytes() == answer.content
    assert abs(page.audio("duration") - len(samples) / rate) < 0.01
    with soundfile.SoundFile(file) as written:
        assert "Synthetic speech, not a recording" in written.comment
    assert "Synthetic speech" in page.find("#provenance").text


def test_the_finished_speech_can_be_seeked_and_seen(page: Page) -> None:
    speak_dialogue(page, "Anna: Good morning.")
    page.wait(lambda: not page.busy("speak"))
    page.find("#picture").click()  # in its middle
    page.wait(lambda: page.audio("src").startswith("blob:"))
    page.wait(lambda: page.audio("currentTime") >= page.audio("duration") * 0.45)
    for canvas in ("wave", "spectrogram"):
        drawn = f"(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v))({canvas})"
        assert page.js(drawn), canvas
        assert "s of speech" in page.find(f"#{canvas}").get_attribute("aria-label")


def test_a_bad_script_is_explained_beside_it_and_the_speech_before_it_stays(page: Page) -> None:
    speak_dialogue(page, "Anna: Good morning.")
    page.wait(lambda: page.status("speak").startswith("Done"))
    page.fill("#speak-script", "Anna: Hello. Speaker 1: And you?")
    page.find("#speak [type=submit]").click()
    message = page.wait(lambda: page.text("#speak-script-error"))
    assert "looks like a speaker's label" in message
    field = page.find("#speak-script")
    assert field.get_attribute("aria-invalid") == "true"
    assert "speak-script-error" in field.get_attribute("aria-describedby")
    assert page.focused() == field
    assert page.audio("src").startswith("blob:")
    page.fill("#speak-script", "Anna: Good morning.")
    page.find("#speak [type=submit]").click()
    page.wait(lambda: page.status("speak").startswith("Done"))
    assert field.get_attribute("aria-invalid") is None
    assert not page.browser.find_elements(By.ID, "speak-script-error")


def test_one_voice_speaks_a_text_at_a_speed_and_says_what_it_spelled(page: Page) -> None:
    def speak(speed: str) -> float:
        page.fill("#speak-speed", speed)
        page.browser.execute_script("document.querySelector('#speak .status').textContent = ''")
        page.find("#speak [type=submit]").click()
        page.wait(lambda: page.status("speak").startswith("Done"))
        return float(page.text("#made").split()[0])

    page.open("speak")
    page.browser.execute_script("document.querySelector('#speak details').open = true")
    page.fill("#speak-text", "This is Quizzlewick.")
    assert speak("2") < 0.8 * speak("1")
    assert "quizzlewick" in page.find("#respelled").text
    page.fill("#speak-speed", "9")
    page.find("#speak [type=submit]").click()
    assert "9" in page.wait(lambda: page.text("#speak-speed-error"))


def test_stop_ends_the_speech_and_keeps_what_there_is(page: Page) -> None:
    page.hold.after(16)
    speak_dialogue(page)
    page.wait(lambda: page.audio("currentTime"))
    page.find("#speak .stop").click()
    page.wait(lambda: page.status("speak") == "Stopped.")
    page.hold.release()
    assert page.wait(lambda: page.audio("paused"))
    assert page.find("#download").is_displayed()
    assert not page.find("#speak .stop").is_displayed()


def test_a_text_gets_its_best_answers_with_their_scores(page: Page, server: Running) -> None:
    page.open("write")
    page.fill("#write-input", "reads text")
    page.find("#write [type=submit]").click()
    page.wait(lambda: page.status("write").startswith("3 answers"))
    wanted = server.generate(num_hypotheses=3, decoder={"beam_size": 4}).json()["outputs"][0]["nbest"]
    items = page.browser.find_elements(By.CSS_SELECTOR, "#written li")
    assert [item.find_element(By.TAG_NAME, "p").text for item in items] == [found["text"] for found in wanted]
    for item, found in zip(items, wanted, strict=True):
        assert f"score {found['score']:.3f}" in item.text


def test_a_picture_gets_its_best_captions_and_is_shown(page: Page, server: Running, tmp_path: Path) -> None:
    picture = tmp_path / "cross.png"
    write_image(picture, shape("cross", 64))
    page.open("look")
    page.find("#look-file").send_keys(str(picture))
    page.find("#look [type=submit]").click()
    assert "must be one of en, de" in page.wait(lambda: page.text("#look-language-error"))
    page.fill("#look-language", "de")
    page.find("#look [type=submit]").click()
    page.wait(lambda: "answers after" in page.status("look"))
    form = {"model": "shapes", "language": "de", "num_hypotheses": "3"}
    answer = server.client.post("/v1/images/captions", data=form, files={"file": picture.read_bytes()})
    items = page.browser.find_elements(By.CSS_SELECTOR, "#seen li p")
    assert [item.text for item in items] == [found["text"] for found in answer.json()["outputs"][0]["nbest"]]
    assert page.js("document.getElementById('looked-at').naturalWidth") == 64


def test_a_file_that_is_no_picture_is_refused_beside_it(page: Page, tmp_path: Path) -> None:
    page.open("look")
    page.find("#look [type=submit]").click()
    assert "Choose a picture first" in page.wait(lambda: page.text("#look-file-error"))
    (tmp_path / "text.png").write_text("no picture")
    page.browser.execute_script("document.querySelector('#look details').open = true")
    page.fill("#look-language", "de")
    page.find("#look-file").send_keys(str(tmp_path / "text.png"))
    page.find("#look [type=submit]").click()
    page.wait(lambda: "not a picture" in page.text("#look-file-error"), seconds=20)
    assert page.focused() == page.find("#look-file")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("write-input", " ", "empty"), ("write-count", "99", "at most 16"), ("write-penalty", "-1", "length_penalty")],
)
def test_what_is_wrong_with_a_text_is_said_beside_the_field(page: Page, field: str, value: str, said: str) -> None:
    page.open("write")
    page.browser.execute_script("document.querySelector('#write details').open = true")
    page.fill(f"#{field}", value)
    page.find("#write [type=submit]").click()
    assert said in page.wait(lambda: page.text(f"#{field}-error"))
    assert page.focused() == page.find(f"#{field}")


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.open("write")
    page.find("#write-tab").send_keys(Keys.ARROW_RIGHT)
    assert page.focused() == page.find("#look-tab")
    page.focused().send_keys(Keys.ARROW_RIGHT)
    assert page.focused() == page.find("#speak-tab")
    assert page.find("#speak").is_displayed()
    page.focused().send_keys(Keys.ARROW_RIGHT)
    assert page.focused() == page.find("#listen-tab")
    page.focused().send_keys(Keys.ARROW_RIGHT)
    assert page.focused() == page.find("#write-tab")
    page.focused().send_keys(Keys.TAB)
    assert page.focused() == page.find("#write-model")
    page.focused().send_keys(Keys.TAB)
    page.focused().send_keys(Keys.CONTROL + Keys.ENTER)
    page.wait(lambda: page.status("write").startswith("3 answers"))


def listen_to(page: Page, model: str, source: str) -> None:
    page.open("listen")
    Select(page.find("#listen-model")).select_by_value(model)
    page.find(f"#listen input[value={source}]").click()


def transcribed(page: Page) -> list[str]:
    return [entry.text for entry in page.browser.find_elements(By.CSS_SELECTOR, "#segments p")]


def saved(page: Page, suffix: str) -> str:
    file = page.downloads / f"transcript.{suffix}"
    file.unlink(missing_ok=True)
    page.find(f"#as-{suffix}").click()
    page.wait(file.exists)
    return file.read_text(encoding="utf-8")


def test_a_recording_becomes_text_with_speakers_and_times_in_every_format(page: Page, talk: Path) -> None:
    listen_to(page, "whole", "file")
    page.find("#listen-file").send_keys(str(talk))
    page.find("#listen [type=submit]").click()
    page.wait(lambda: page.status("listen").startswith("Done: 2.0 s of audio"))
    assert transcribed(page) == ["Speaker 0: Tea & <cake>.", "Speaker 1: Hi."]
    assert [entry.text for entry in page.browser.find_elements(By.CSS_SELECTOR, "#segments .time")] == ["0:00", "0:01"]
    assert saved(page, "txt") == "Speaker 0: Tea & <cake>.\nSpeaker 1: Hi.\n"
    assert saved(page, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,250\nSpeaker 0: Tea & <cake>.\n\n"
        "2\n00:00:01,250 --> 00:00:02,000\nSpeaker 1: Hi.\n"
    )
    assert saved(page, "vtt").startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\n<v Speaker 0>Tea &amp; &lt;cake&gt;.\n\n00:00:01.250"
    )
    found = json.loads(saved(page, "json"))
    assert (found["seconds"], found["text"]) == (2.0, "Tea & <cake>. Hi.")
    assert found["segments"][1] == {"start": 1.25, "end": 2.0, "speaker": "1", "text": "Hi."}
    page.browser.find_elements(By.CSS_SELECTOR, "#segments .time")[1].click()
    page.wait(lambda: page.js("document.getElementById('heard-audio').currentTime") >= 1.25)


def test_what_is_said_into_the_microphone_appears_while_it_is_said(page: Page) -> None:
    listen_to(page, "live", "microphone")
    assert page.text("#microphone-hint") == "Text appears while you speak."
    page.find("#listen [type=submit]").click()
    page.wait(lambda: transcribed(page))
    assert page.busy("listen")
    assert page.status("listen").startswith("Listening")
    page.find("#finish").click()
    page.wait(lambda: page.status("listen").startswith("Done: "))
    assert not page.busy("listen")
    assert set(transcribed(page)) == {"Speaker 0: Good.", "Speaker 1: Hi."}
    assert "Good." in saved(page, "srt")
    seconds = float(page.status("listen").split()[1])
    assert abs(page.js("document.getElementById('heard-audio').duration") - seconds) < 0.2
    assert json.loads(saved(page, "json"))["seconds"] == pytest.approx(seconds, abs=0.06)


def test_a_recording_of_the_microphone_is_heard_whole_by_a_model_that_needs_it(page: Page) -> None:
    listen_to(page, "whole", "microphone")
    assert page.text("#microphone-hint").startswith("This model hears whole recordings")
    page.find("#listen [type=submit]").click()
    page.wait(lambda: "Recording … 0:01" in page.status("listen"))
    page.find("#finish").click()
    page.wait(lambda: page.status("listen").startswith("Done: "))
    assert transcribed(page)[0] == "Speaker 0: Tea & <cake>."


def test_stopping_the_microphone_keeps_the_text_and_the_audio(page: Page, server: Running) -> None:
    listen_to(page, "live", "microphone")
    page.find("#listen [type=submit]").click()
    page.wait(lambda: transcribed(page))
    page.find("#listen .stop").click()
    page.wait(lambda: page.status("listen") == "Stopped.")
    assert transcribed(page)
    assert page.js("document.getElementById('heard-audio').src").startswith("blob:")
    assert not page.find("#finish").is_displayed()
    page.wait(lambda: 'open_streams{model="live"} 0.0' in server.client.get("/metrics").text)


def test_what_is_wrong_with_a_recording_is_said_beside_it(page: Page, tmp_path: Path) -> None:
    listen_to(page, "whole", "file")
    page.find("#listen [type=submit]").click()
    assert page.wait(lambda: page.text("#listen-file-error")) == "Choose a recording first."
    (tmp_path / "words.wav").write_text("no audio")
    page.find("#listen-file").send_keys(str(tmp_path / "words.wav"))
    page.find("#listen [type=submit]").click()
    page.wait(lambda: "cannot be read as audio" in page.text("#listen-file-error"))
    listen_to(page, "live", "microphone")
    page.browser.execute_script("document.querySelector('#listen details').open = true")
    words = "\\n".join(map(str, range(4000)))
    page.browser.execute_script(f"document.getElementById('listen-prompt').value = '{words}'")
    page.find("#listen [type=submit]").click()
    assert "must have at most" in page.wait(lambda: page.text("#listen-prompt-error"))


def test_a_page_that_may_have_no_microphone_says_why(page: Page) -> None:
    insecure = (
        "Object.defineProperty(window, 'isSecureContext', {value: false}); delete Navigator.prototype.mediaDevices"
    )
    added = page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": insecure})
    try:
        listen_to(page, "live", "microphone")
        assert page.text("#microphone-hint").startswith("Browsers give a microphone only to pages")
        page.find("#listen [type=submit]").click()
        assert page.wait(lambda: page.text("#listen form > .error")).startswith("Browsers give a microphone only")
    finally:
        page.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


@pytest.mark.parametrize("tab", ["write", "speak", "listen"])
def test_a_small_phone_needs_no_scrolling_to_the_side(page: Page, tab: str) -> None:
    small = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", small)
    try:
        page.open(tab)
        page.browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
        page.browser.execute_script(
            "for (const id of ['written', 'spoken', 'heard']) document.getElementById(id).hidden = false"
        )
        assert page.js("document.documentElement.scrollWidth") == 320
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_asked_of_another_host(page: Page) -> None:
    page.open("speak")
    loaded = page.js("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(loaded) > 8
    assert all(name.startswith(page.url) for name in loaded)


def test_the_page_asks_for_the_key_of_the_server(page: Page) -> None:
    limits, metrics = Limits(), Metrics()
    words = open_model("words", str(TEXT_RUN), "cpu", {}, False, limits, metrics)
    with running([words], limits, metrics, api_key="secret") as locked:
        page.browser.get(locked.url)
        page.wait(page.find("#key-form").is_displayed)
        page.fill("#key", "guess")
        page.find("#key-form button").click()
        assert "key" in page.wait(lambda: page.find("#start-error").text)
        page.fill("#key", "secret")
        page.find("#key-form button").click()
        page.wait(page.find("#write").is_displayed)
        assert not page.find("#tabs").is_displayed()  # there is no model that speaks
        assert not page.find("#start-error").text
        page.browser.get("about:blank")


def test_a_server_that_only_listens_says_so_and_its_key_opens_streams_too(page: Page) -> None:
    limits, metrics = Limits(), Metrics()
    with running(listeners(limits, metrics)[1:], limits, metrics, api_key="a (secret)/key") as locked:
        page.browser.get(locked.url)
        page.wait(page.find("#key-form").is_displayed)
        page.fill("#key", "a (secret)/key")
        page.find("#key-form button").click()
        page.wait(page.find("#listen").is_displayed)
        assert page.text("#about") == "Models that listen, on this server."
        assert not page.find("#tabs").is_displayed()
        page.find("#listen input[value=microphone]").click()
        page.find("#listen [type=submit]").click()
        page.wait(lambda: transcribed(page))
        page.find("#finish").click()
        page.wait(lambda: page.status("listen").startswith("Done: "))
        page.browser.get("about:blank")


@pytest.mark.skipif("AXE" not in os.environ, reason="AXE names no axe.min.js; scripts/test_page.sh fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_way_of_a_screen_reader(page: Page, scheme: str, talk: Path) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    page.open("write")
    page.find("#write [type=submit]").click()
    page.wait(lambda: page.status("write").startswith("3 answers"))
    page.fill("#write-input", " ")
    page.find("#write [type=submit]").click()
    page.wait(lambda: page.text("#write-input-error"))
    assert axe_findings(page) == []
    speak_dialogue(page, "Anna: Good morning.")
    page.wait(lambda: page.status("speak").startswith("Done"))
    assert axe_findings(page) == []
    listen_to(page, "whole", "file")
    page.find("#listen-file").send_keys(str(talk))
    page.find("#listen [type=submit]").click()
    page.wait(lambda: page.status("listen").startswith("Done"))
    assert axe_findings(page) == []


def axe_findings(page: Page) -> list[str]:
    page.browser.execute_cdp_cmd("Runtime.evaluate", {"expression": Path(os.environ["AXE"]).read_text()})
    run = "const done = arguments[0]; axe.run(document).then(found => done(found.violations.map(one => one.help)))"
    return list(page.browser.execute_async_script(run))
