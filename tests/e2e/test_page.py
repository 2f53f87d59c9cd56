"""The page of the server, in a real browser. `scripts/test_page.sh` installs one, and runs these tests."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("selenium", reason="no driver of browsers is installed; scripts/test_page.sh installs one")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from serving import TEXT_RUN, Running, running

from latent.longform.cast import Role
from latent.synthesis.voices import open_voice
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.models import SpeechModel, open_model
from unilatent.server.speech_jobs import SpeechJob

REPO = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no Chromium with chromedriver; scripts/test_page.sh installs them"
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1000,1000"
)
DIALOGUE = "Anna: Good morning. Thank you for calling.\nBen: Good morning. [pause 0.3] Please hold the line."
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
    with running([demo, words], limits, metrics) as server:
        yield server


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
    roles = {"Anna": "Allison", "Ben": "flite_rms"}
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
    items = page.browser.find_elements(By.CSS_SELECTOR, "#answers li")
    assert [item.find_element(By.TAG_NAME, "p").text for item in items] == [found["text"] for found in wanted]
    for item, found in zip(items, wanted, strict=True):
        assert f"score {found['score']:.3f}" in item.text


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
    assert page.focused() == page.find("#speak-tab")
    assert page.find("#speak").is_displayed()
    page.focused().send_keys(Keys.ARROW_RIGHT)
    assert page.focused() == page.find("#write-tab")
    page.focused().send_keys(Keys.TAB)
    assert page.focused() == page.find("#write-model")
    page.focused().send_keys(Keys.TAB)
    page.focused().send_keys(Keys.CONTROL + Keys.ENTER)
    page.wait(lambda: page.status("write").startswith("3 answers"))


@pytest.mark.parametrize("tab", ["write", "speak"])
def test_a_small_phone_needs_no_scrolling_to_the_side(page: Page, tab: str) -> None:
    small = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", small)
    try:
        page.open(tab)
        page.browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
        page.browser.execute_script(
            "for (const id of ['written', 'spoken']) document.getElementById(id).hidden = false"
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


@pytest.mark.skipif("AXE" not in os.environ, reason="AXE names no axe.min.js; scripts/test_page.sh fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_way_of_a_screen_reader(page: Page, scheme: str) -> None:
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


def axe_findings(page: Page) -> list[str]:
    page.browser.execute_cdp_cmd("Runtime.evaluate", {"expression": Path(os.environ["AXE"]).read_text()})
    run = "const done = arguments[0]; axe.run(document).then(found => done(found.violations.map(one => one.help)))"
    return list(page.browser.execute_async_script(run))
