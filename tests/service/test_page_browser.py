"""The page in headless Chromium: what is seen, said, reached by keyboard, and never run.

Needs Debian's packages chromium and chromium-driver; without them every test here is skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from serving import running

from commonspace.data import import_folder
from commonspace.encoders import fitted_spec
from commonspace.methods import Ridge
from commonspace.service import KeyFile, create_app
from commonspace.service.maps import write_map
from commonspace.service.views import HEALTH
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.matching import MatchCalibration
from commonspace.store.models import load, save
from commonspace.store.pipelines import encode_raw, index_dataset

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: commonspace[dev]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="the page was not tried in a browser: apt-get install chromium chromium-driver",
)

EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>'
EVIL_NAME = "<img src=x onerror=pwned=4>"
EVIL_LINK = "javascript:window.pwned=3"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)

# Roles that somebody who does not see the page has to be told by name.
USED = {"application", "button", "checkbox", "combobox", "image", "radio", "searchbox", "textbox"}
USED |= {"region", "spinbutton", "DisclosureTriangle"}


class Page:
    """A tab of the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, **query: Any) -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{url}/#{urlencode(query, doseq=True)}" if query else url)

    def run(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *args)

    def until(self, script: str, seconds: float = 30) -> Any:
        """What a script returns once it is something."""
        until = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < until, f"never: {script}\n{self.text('main')}"
            time.sleep(0.03)
        return found

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """What the console has had to say since this was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def cards(self) -> list[str]:
        self.until("!document.querySelector('#results[aria-busy]')")
        return [card.text for card in self.all("#results .card")]

    def like(self, id_: str, modality: str) -> str:
        return json.dumps([id_, modality])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A tab that has not complained when the test ends; one that may has asked before."""
    made = Page(browser)
    made.complaints()
    yield made
    assert made.complaints() == []


@pytest.fixture(scope="module")
def shown(store, tmp_path_factory) -> Iterator[str]:
    """Texts and pictures with their model, a map and a report."""
    folder = store.copy(tmp_path_factory.mktemp("page") / "things")
    write_map(folder)
    finding = {"what": "hub", "where": "text->image", "value": 0.6, "severity": "look"}
    finding |= {"note": EVIL, "limits": {"look": 0.5, "broken": None}, "meaning": EVIL}
    report = {"verdict": "look", "findings": [finding], "modalities": {EVIL: {"n_items": 3}}}
    report |= {"suspects": [{"modality": "text", "item": EVIL, "label": "a", "score": 0.9}]}
    (folder / HEALTH).write_text(json.dumps(report))
    with running(create_app(folder, media=store.pictures, read_only=True)) as url:
        yield url


@dataclass(frozen=True)
class Heard:
    """A service over sounds, pictures and words of two classes."""

    url: str
    sounds: Path
    items: Path


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> Iterator[Heard]:
    pytest.importorskip("soundfile", reason="the page was not tried with sounds: needs soundfile")
    root = tmp_path_factory.mktemp("heard")
    _write_things(root / "things" / "train")
    raw = import_folder(root / "things")
    specs = {
        "image": {"kind": "image-efficientnet-lite0", "size": 32},
        "audio": {"kind": "audio-logmel"},
    }
    specs["text"] = {"kind": "text-hash", "dim": 64}
    data = encode_raw(raw["train"], {name: fitted_spec(spec, ()) for name, spec in specs.items()})
    save(Ridge(dim=8).fit(data), root / "model")
    model = load(root / "model")
    index_dataset(model, raw, root / "found", model_folder=root / "model").close()
    with running(create_app(root / "found", media=root / "things", read_only=True)) as url:
        yield Heard(url, root / "things" / "train" / "sounds", root / "found")


def _write_things(root: Path) -> None:
    """Four items of each class in each modality: tones, plain pictures, words."""
    for name, tone, grey in (("low", 200, 30), ("high", 3000, 220)):
        for kind in ("sounds", "pictures", "words"):
            (root / kind / name).mkdir(parents=True)
        for n in range(4):
            times = np.arange(8000) / 16_000
            wave = np.sin(2 * np.pi * (tone + 10 * n) * times)
            wavfile.write(root / "sounds" / name / f"{n}.wav", 16_000, np.int16(9000 * wave))
            picture = Image.fromarray(np.full((20, 24, 3), grey + 5 * n, np.uint8))
            picture.save(root / "pictures" / name / f"{n}.png")
            (root / "words" / name / f"{n}.txt").write_text(f"{name} sound {n}")


@pytest.fixture(scope="module")
def measured_items(tmp_path_factory) -> Path:
    """Vectors of two modalities with match probabilities, and numbers to filter by."""
    folder = tmp_path_factory.mktemp("page") / "measured"
    rng = np.random.default_rng(0)
    with Collection.create(folder, space=Space.create(3)) as col:
        for modality in ("sound", "text"):
            z = np.repeat(np.eye(3), 20, axis=0) + 0.3 * rng.standard_normal((60, 3))
            payloads = [
                {"text": f"{modality} {row}", "classes": ["abc"[row // 20]], "year": 1950 + row}
                for row in range(60)
            ]
            col.add(range(60), z, modality=modality, payloads=payloads)
        pairs = product(("sound", "text"), repeat=2)
        ends, odds = np.array([-1.0, 1.0]), {True: np.array([-4.0, 4.0]), False: np.array([-4, 8])}
        col.calibrate(MatchCalibration({(q, g): (ends, odds[q == g]) for q, g in pairs}))
    write_map(folder)
    return folder


@pytest.fixture(scope="module")
def measured(measured_items) -> Iterator[str]:
    with running(create_app(measured_items, read_only=True)) as url:
        yield url


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Iterator[str]:
    """Markup wherever somebody who adds items can write."""
    folder = tmp_path_factory.mktemp("page") / "hostile"
    payload = {"text": EVIL, "path": EVIL_LINK, "classes": [EVIL], EVIL_NAME: EVIL}
    payload["url"] = EVIL_LINK
    with Collection.create(folder, space=Space.create(2)) as col:
        for row, id_ in enumerate([EVIL, '"><b>', "plain"]):
            col.add([id_], [[1, row]], modality=EVIL, payloads=[payload])
            col.add([id_], [[1, -row]], modality="other", payloads=[{"path": f"{EVIL}.png"}])
    write_map(folder)
    collections = {f"c {EVIL}": folder}
    with running(create_app(collections, media=folder, read_only=True)) as url:
        yield url


def test_a_text_finds_pictures_and_texts(page, shown):
    page.open(shown)
    page.until("document.querySelectorAll('#results .card').length")
    page.find("#text").send_keys("red apple")
    page.find("#search-form button.main").click()
    page.until("document.getElementById('status').textContent.includes(' ms')")
    cards = page.cards()
    assert len(cards) == 24 and all("similarity" in card for card in cards)
    assert page.run("decodeURIComponent(location.hash)") == "#q=red+apple"
    page.until("document.querySelector('#results img')?.naturalWidth")
    assert page.find("#status").get_attribute("aria-live") == "polite"


def test_the_address_brings_the_query_back(page, shown):
    page.open(shown, q="fast car", **{"in": "image", "f.classes": '"vehicle"'})
    page.until("document.getElementById('status').textContent.includes(' ms')")
    cards = page.cards()
    assert len(cards) == 6 and all("vehicle" in card and "image" in card for card in cards)
    assert page.find("#text").get_attribute("value") == "fast car"
    assert page.text("#filters-count") == "(1)"
    page.run("document.getElementById('filters-clear').click()")
    page.until("document.querySelectorAll('#results .card').length === 12")
    page.driver.back()
    page.until("document.querySelectorAll('#results .card').length === 6")


def test_words_are_found_by_words(page, shown):
    page.open(shown, q="lorry", how="words", **{"in": "text"})
    page.until("document.getElementById('status').textContent.includes(' ms')")
    cards = page.cards()
    assert len(cards) == 2 and all("a lorry" in c and "word score" in c for c in cards)


def test_a_picture_of_ones_own(page, shown, store):
    page.open(shown, **{"in": "image"})
    page.until("document.querySelector('#results .card')")
    page.find("#file").send_keys(str(store.pictures / "0.png"))
    page.until("document.getElementById('status').textContent.includes(' ms')")
    assert page.cards() and "0.png" in page.text("#parts")
    first = page.run("document.querySelector('#results dd').textContent")
    assert first == "0"
    page.find("#parts button").click()
    page.until("document.getElementById('parts').hidden")
    assert page.run("document.activeElement.id") == "text"


def test_a_file_that_nothing_reads_is_told(page, shown, tmp_path):
    (tmp_path / "notes.pdf").write_bytes(b"%PDF-1.7")
    page.open(shown)
    page.until("document.querySelector('#results .card')")
    page.find("#file").send_keys(str(tmp_path / "notes.pdf"))
    said = page.until("document.getElementById('error').textContent")
    assert said.startswith("notes.pdf: expected a picture")
    assert any("415" in line for line in page.complaints())  # the browser notes the status


def test_a_file_of_text_is_searched_by_as_if_it_was_typed(page, shown, tmp_path):
    (tmp_path / "notes.txt").write_text("fast car\n")
    page.open(shown)
    page.until("document.querySelector('#results .card')")
    page.find("#file").send_keys(str(tmp_path / "notes.txt"))
    page.until("document.getElementById('status').textContent.includes(' ms')")
    assert page.find("#text").get_attribute("value") == "fast car" and page.cards()
    assert page.run("decodeURIComponent(location.hash)") == "#q=fast+car"


def test_a_sound_finds_pictures_and_words(page, heard):
    page.open(heard.url)
    page.until("document.querySelector('.pill')")
    page.find("#file").send_keys(str(heard.sounds / "high" / "0.wav"))
    page.until("document.getElementById('status').textContent.includes(' ms')")
    page.cards()
    kinds = page.run("[...document.querySelectorAll('#results .tag.kind')].map((t) => t.innerText)")
    assert set(kinds) == {"audio", "image", "text"}
    assert "0.wav" in page.text("#parts") and "audio" in page.text("#parts")
    for name in ("image", "text"):
        page.run(f"document.querySelector('#targets input[value={name}]').click()")
        page.until(
            f"[...new URLSearchParams(location.hash.slice(1)).getAll('in')].includes('{name}')"
        )
        page.until("!document.querySelector('#results[aria-busy]')")
    cards = page.until(
        """((all) => !all.some((c) => c.querySelector(".kind").innerText === "audio") &&
        all.map((c) => c.querySelector(".tag:not(.kind)").innerText))
        ([...document.querySelectorAll("#results .card")])"""
    )
    assert cards[:4] == ["high"] * 4


def test_a_sound_is_played_and_asks_for_more_like_it(page, heard):
    page.open(heard.url, **{"in": "audio", "like": page.like("train/sounds/low/1", "audio")})
    page.until("document.querySelector('#results audio')")
    page.find("#results-title").click()  # a page plays nothing before it was touched
    played = page.driver.execute_async_script(
        """
        const done = arguments[0], sound = document.querySelector("#results audio");
        sound.ontimeupdate = () => sound.currentTime > 0 && done(sound.duration);
        sound.onerror = () => done(sound.error.message);
        sound.play().catch((error) => done(String(error)));
        """
    )
    assert played == pytest.approx(0.5, abs=0.05)
    page.find("#results .like").click()
    page.until("document.querySelector('#parts .chip-name')?.innerText.startsWith('like')")
    assert page.cards()


def test_a_broken_sound_is_named_and_no_path_of_the_server(page, heard, tmp_path):
    (tmp_path / "cut.wav").write_bytes((heard.sounds / "high" / "0.wav").read_bytes()[:30])
    page.open(heard.url)
    page.until("document.querySelector('.pill')")
    page.find("#file").send_keys(str(tmp_path / "cut.wav"))
    said = page.until("document.getElementById('error').textContent")
    assert said.startswith("cut.wav: not a sound, or damaged") and "/tmp" not in said
    assert any("422" in line for line in page.complaints())  # the browser notes the status


def test_a_dropped_file_is_searched_by(page, shown):
    page.open(shown)
    page.until("document.querySelector('#results .card')")
    page.driver.execute_script(
        """
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 8;
        const done = (blob) => {
          const carried = new DataTransfer();
          carried.items.add(new File([blob], "dropped.png", { type: "image/png" }));
          for (const type of ["dragenter", "dragover", "drop"])
            window.dispatchEvent(new DragEvent(type, { dataTransfer: carried, cancelable: true }));
        };
        canvas.toBlob(done);
        """
    )
    page.until("document.getElementById('status').textContent.includes(' ms')")
    assert "dropped.png" in page.text("#parts") and page.find("#drop").is_displayed() is False


def test_more_like_this_goes_by_how_probable_a_match_is(page, measured, measured_items):
    """In the order in which the library and the command line answer, and with their numbers."""
    page.open(measured, like=page.like("3", "text"))
    page.until("document.getElementById('status').textContent.includes(' ms')")
    cards = page.cards()
    with Collection.open(measured_items, read_only=True) as col:
        query = col.vectors(["3"], "text")
        likely = col.search(query, 48, query_modality="text")
        nearest = col.search(query, 48)
    assert likely.ids.tolist() != nearest.ids.tolist()
    expected = [hit for hit in likely.rows()[0] if (hit["id"], hit["modality"]) != ("3", "text")]
    texts = "[...document.querySelectorAll('#results .words')].map((one) => one.textContent)"
    assert page.run(texts) == [hit["payload"]["text"] for hit in expected[:23]]
    for card, hit in zip(cards, expected, strict=False):
        share = float(re.search(r"([\d.]+) % match", card).group(1))
        assert abs(share - 100 * hit["score"]) <= 1
    page.find("#more").click()
    page.until("document.querySelectorAll('#results .card').length === 47")
    assert page.run(texts) == [hit["payload"]["text"] for hit in expected]
    labels = page.run("[...document.querySelectorAll('#results .score')].map((s) => s.title)")
    assert all("have a class in common" in label for label in labels)


def test_more_like_this_asks_by_the_item(page, measured):
    page.open(measured)
    page.until("document.querySelector('#results .like')")
    page.find("#results .like").click()
    page.until("document.getElementById('status').textContent.includes(' ms')")
    assert len(page.cards()) == 23
    assert page.run("document.activeElement.id") == "results-title"
    assert "like" in page.run("location.hash")


def test_numbers_are_filtered_by_range(page, measured):
    page.open(measured, like=page.like("3", "text"), **{"f.year": '{"gte":1952,"lte":1954}'})
    page.until("document.getElementById('status').textContent.includes(' ms')")
    assert len(page.cards()) == 5  # the one that asks is left out
    assert page.find("#filter-1-from").get_attribute("value") == "1952"


@pytest.mark.parametrize("view", ["", "map", "health"])
def test_nothing_of_a_payload_is_ever_run(page, hostile, view):
    query = (
        {"view": view} if view else {"q": EVIL, "how": "words", f"f.{EVIL_NAME}": json.dumps(EVIL)}
    )
    page.open(hostile, **query)
    done = {
        "": "document.getElementById('status').textContent.includes(' ms')",
        "map": "document.querySelector('#map-classes li')",
        "health": "document.querySelector('#health pre')",
    }
    page.until(done[view])
    if view == "map":
        page.find("#map").click()
        for _ in range(3):
            page.press("\ue014")  # arrow right
        page.press("\ue007")  # enter
        page.until("document.querySelector('#map-item .card')")
    else:
        page.run("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    time.sleep(0.2)
    assert page.run("window.pwned === undefined")
    assert page.run("document.querySelectorAll('img[src=x], #results b, [onerror]').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 1
    if view == "":
        assert len(page.cards()) == 3 and EVIL in page.text("#results")
    page.complaints()  # pictures of hostile paths are not there, which the browser notes


def test_a_report_is_shown_as_text(page, shown):
    page.open(shown, view="health")
    page.until("document.querySelector('.verdict')")
    text = page.text("#health")
    assert "Worth a look" in text and "0.6" in text and EVIL in text
    assert page.run("window.pwned === undefined")


def test_points_of_the_map_are_walked_by_keyboard(page, shown):
    page.open(shown, view="map")
    page.until("document.querySelector('#map-classes li')")
    page.driver.execute_script("document.getElementById('map').focus()")
    page.press("\ue014")
    first = page.until("document.getElementById('map-said').textContent")
    page.press("\ue012", "\ue013")  # left, up
    page.press("\ue007")
    page.until("document.querySelector('#map-item .card')")
    said = page.run("document.getElementById('map-said').textContent")
    assert said.count(", ") >= 2 and first.count(", ") >= 2
    page.find("#map-item .like").click()
    page.until("document.getElementById('status').textContent.includes(' ms')")
    assert page.cards()


def test_points_of_the_map_are_hovered_and_clicked(page, measured):
    from selenium.webdriver.common.action_chains import ActionChains

    page.open(measured, view="map")
    page.until("document.querySelector('#map-classes li')")
    where = page.driver.execute_script(
        """
        const canvas = document.getElementById("map"), pen = canvas.getContext("2d");
        const { data, width } = pen.getImageData(0, 0, canvas.width, canvas.height);
        const at = data.findIndex((value, place) => place % 4 === 3 && value > 150);
        const pixel = (at - 3) / 4, ratio = window.devicePixelRatio;
        return [(pixel % width) / ratio, Math.floor(pixel / width) / ratio];
        """
    )
    box = page.run("(({width, height}) => [width, height])(map.getBoundingClientRect())")
    x, y = (int(at - size / 2) for at, size in zip(where, box, strict=True))
    canvas = page.find("#map")
    ActionChains(page.driver).move_to_element_with_offset(canvas, x, y).perform()
    page.until("!document.getElementById('map-tip').hidden")
    assert " · " in page.text("#map-tip")
    ActionChains(page.driver).move_to_element_with_offset(canvas, x, y).click().perform()
    page.until("document.querySelector('#map-item .card')")


def test_classes_and_modalities_are_switched_off(page, measured):
    page.open(measured, view="map")
    page.until("document.querySelector('#map-classes li')")
    ink = """((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data
        .reduce((sum, value, at) => sum + (at % 4 === 3 && value > 0), 0))(map)"""
    every = page.run(ink)
    page.run("document.querySelector('#map-modalities input').click()")
    assert 0 < page.run(ink) < every
    page.run("document.querySelectorAll('#map-classes input').forEach((box) => box.click())")
    assert page.run(ink) == 0
    page.complaints()  # of how this test reads the canvas


def test_everything_is_reached_by_tab_in_reading_order(page, shown):
    page.open(shown)
    page.until("document.querySelector('#results .card')")
    seen = []
    for _ in range(12):
        page.press("\ue004")
        seen.append(page.run("document.activeElement.id || document.activeElement.textContent"))
        # What has the focus can be seen to have it.
        ring = """((e) => [e, e.closest(".pill"), e.closest(".file")].some((one) => one &&
            getComputedStyle(one).outlineStyle !== "none"))(document.activeElement)"""
        assert page.run(ring), seen[-1]
    assert seen[:6] == ["skip", "Search", "Map", "Health", "text", "file"]
    assert seen[6] == "Search" and "filters-box" not in seen
    page.find("#results .like")  # the results come after, in their order
    tops = page.run(
        "[...document.querySelectorAll('#results .like')].map((b) => b.getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)


@pytest.mark.parametrize("view", ["search", "map", "health"])
def test_everything_that_can_be_used_has_a_name(page, shown, view):
    page.open(shown, view=view)
    ready = {"search": "#results .card", "map": "#map-classes li", "health": ".verdict"}
    page.until(f"document.querySelector('{ready[view]}')")
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    used = [n for n in nodes if not n["ignored"] and n["role"]["value"] in USED]
    assert len(used) > 4 and [n for n in used if not n.get("name", {}).get("value")] == []
    assert page.run("document.querySelectorAll('h1').length") >= 1
    assert page.run("[...document.querySelectorAll('img')].every((i) => i.hasAttribute('alt'))")


@pytest.mark.parametrize("view", ["search", "map", "health"])
def test_a_phone_is_wide_enough_and_dark_where_it_is_asked_to(page, shown, view):
    command = page.driver.execute_cdp_cmd
    size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    command("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open(shown, view=view)
        ready = {"search": "#results .card", "map": "#map-classes li", "health": ".verdict"}
        page.until(f"document.querySelector('{ready[view]}')")
        assert page.run("document.documentElement.scrollWidth") == 390
        for theme, ground in (("light", "rgb(247, 247, 245)"), ("dark", "rgb(19, 21, 24)")):
            scheme = {"name": "prefers-color-scheme", "value": theme}
            command("Emulation.setEmulatedMedia", {"features": [scheme]})
            assert page.run("getComputedStyle(document.body).backgroundColor") == ground
        small = """[...document.querySelectorAll("button, select, .pill, .file")].filter((e) =>
            e.offsetParent && e.getBoundingClientRect().height < 24).length"""
        assert page.run(small) == 0
    finally:
        command("Emulation.clearDeviceMetricsOverride", {})
        command("Emulation.setEmulatedMedia", {"features": []})


COUNTED = """
    window.held = new Set();
    const { createObjectURL: make, revokeObjectURL: revoke } = URL;
    URL.createObjectURL = (blob) => { const url = make(blob); held.add(url); return url; };
    URL.revokeObjectURL = (url) => { held.delete(url); revoke(url); };
"""
SHOWN_FILES = "[...document.querySelectorAll('[src^=blob]')].map((one) => one.src)"


@pytest.fixture
def counted(page) -> Iterator[Page]:
    """A tab that knows which object URLs were made and not given back."""
    command = page.driver.execute_cdp_cmd
    added = command("Page.addScriptToEvaluateOnNewDocument", {"source": COUNTED})
    yield page
    command("Page.removeScriptToEvaluateOnNewDocument", added)


def test_files_that_are_shown_no_more_are_given_back(counted, heard, tmp_path):
    page, keys = counted, KeyFile(tmp_path / "keys.json")
    things = heard.sounds.parent
    app = create_app(heard.items, keys=keys, media=things.parent, read_only=True, hosts=None)
    none_left = f"[...held].every((url) => {SHOWN_FILES}.includes(url))"
    with running(app) as url:
        page.open(url)
        page.find("#key").send_keys(f"{keys.add('ann', 'read')}\ue007")
        page.until("!document.getElementById('app').hidden && document.querySelector('.pill')")
        page.complaints()  # that the key was missing at first
        for text in ("low sound", "high sound", "low sound 2"):
            page.run("document.getElementById('text').value = ''")
            page.find("#text").send_keys(f"{text}\ue007")
            page.until("document.querySelector('#results img')?.naturalWidth")
            page.until(f"held.size && {none_left}")
        for file in ("sounds/low/0.wav", "sounds/high/1.wav", "pictures/low/0.png"):
            page.find("#file").send_keys(str(things / file))
            page.until(f"document.getElementById('parts').innerText.includes('{file[-5:]}')")
            page.until("!document.querySelector('#results[aria-busy]')")
            page.until(none_left)
        page.find("#parts button[aria-label^=Remove]").click()
        page.run("document.querySelector('#targets input[value=text]').click()")
        kinds = "[...document.querySelectorAll('.tag.kind')].map((kind) => kind.innerText)"
        page.until(f"new Set({kinds}).size === 1")
        page.until(none_left)
        page.run("(sessionStorage.clear(), document.getElementById('text').value = '')")
        told = [line for line in page.complaints() if not line.startswith("blob:")]
        assert told == []  # of a file that was taken away while it loaded the browser may speak


def test_a_key_is_asked_for_and_kept_for_this_tab(page, store, tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.add("ann", "read")
    app = create_app(store.collection, keys=keys, media=store.pictures, read_only=True, hosts=None)
    with running(app) as url:
        page.open(url)
        page.until("!document.getElementById('key-form').hidden")
        assert page.run("document.activeElement.id") == "key"
        page.find("#key").send_keys("cs_wrong\ue007")
        assert "does not count" in page.until("document.getElementById('key-error').textContent")
        page.find("#key").send_keys(f"{key}\ue007")
        page.until("!document.getElementById('app').hidden")
        page.find("#text").send_keys("pear\ue007")
        page.until("document.querySelector('#results img')?.naturalWidth")
        assert page.run("document.querySelector('#results img').src").startswith("blob:")
        assert key not in page.driver.current_url
        assert page.run("localStorage.length === 0 && sessionStorage.length === 1")
        page.run("sessionStorage.clear()")
    assert all("401" in line for line in page.complaints())  # the browser notes the statuses
