"""The HTML page, opened from disk in a headless browser."""

import base64
import contextlib
import copy
import io
import json
import shutil

import numpy as np
import pytest
from selenium import webdriver
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from gradcheck import check
from gradcheck.report.page import LIMIT, NOT_CHECKED, NOT_FINITE, comparison_page, heat_map
from lab.cli import compare
from lab.output.reproduction_pages import reproduction_html
from lab.output.search_page import search_html
from lab.reports.catalogue import Catalogue, FigureDescription
from manual import losses

pytestmark = pytest.mark.browser

COMMAND = "python compare.py 4-4 --html page.html"
ATTACK = "</script ><script>alert(1)</script><!--<img src=x onerror=alert(2)>\u2028&amp;"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """(result, pictures) of compare.py on a small network, right and with half of the penalty's gradient."""
    found = {}
    for name in ("pass", "fail"):
        file = tmp_path_factory.mktemp("json") / "result.json"
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
            if name == "fail":
                patch.setattr(losses, "l2_penalty_backward", lambda W, lam_l, out: lam_l * W)
            compare.main(["--hidden", "4,4", "--json", str(file)])
        result = json.loads(file.read_text())
        found[name] = result, [completed(network) for network in result["networks"]]
    return found


def completed(network):
    """Adds what a Taylor test and a sweep find on a right and on a wrong gradient, and returns the pictures."""
    network |= {"notes": ["every entry was checked"], "sensitivity": "would have caught a relative error of 3e-13 in any entry"}
    return {tensor["name"]: pictured(tensor) for tensor in network["tensors"]}


def pictured(tensor):
    steps = np.logspace(-1, -8, 8)
    remainders = 0.4 * steps**2 + 1e-16 + (0.01 * steps if tensor["fail"] else 0)
    verdict, slope, window = ("fail", 1.0, [1e-8, 1e-3]) if tensor["fail"] else ("pass", 2.0, [1e-6, 1e-1])
    direction = {"verdict": verdict, "slope": slope, "window": window, "remainders": remainders.tolist()}
    unknown = direction | {"slope": None, "window": None, "remainders": [None, *remainders[1:-1].tolist(), 0.0]}
    taylor = {"verdict": verdict, "reason": None, "steps": steps.tolist(), "directions": [direction, unknown]}
    tensor |= {"sensitivity": 3e-13, "directions": None, "taylor": taylor}
    errors = np.full(tensor["shape"], 0.01)
    if tensor["fail"]:
        errors.flat[: errors.size // 2] = 1e4
    if tensor["fail"] and tensor["name"] == "W1":
        errors[3, 2 * 1024 + 5] = 1e4  # row 0, column 5 of the image, in blue alone
    errors.flat[-1], errors.flat[0] = np.nan, 0
    rounding = 1e-16 / steps
    sweep = {
        "forward-difference": steps + rounding,
        "central-difference": steps**2 + rounding,
        "complex-step": steps**2 // 1e-16 * 1e-16,
    }
    index = [0] * len(tensor["shape"])
    return {
        "errors": errors,
        "sweep": {"steps": steps, "index": index} | {oracle: error.tolist() for oracle, error in sweep.items()},
    }


@pytest.fixture(scope="module")
def browser():
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    if None in paths:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(paths[1]))
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, tmp_path):
    """Opens a page of a result in a light window of 1280x900, or as asked."""

    def show(result, pictures, command=COMMAND, **screen):
        return opened(comparison_page(result, pictures, command), **screen)

    def opened(text, width=1280, height=900, scheme="light"):
        file = tmp_path / "page.html"
        file.write_text(text, encoding="utf-8")
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get_log("performance"), browser.get_log("browser")
        browser.get(file.as_uri())
        return browser

    show.opened = opened
    yield show
    assert browser.get_log("browser") == []


def texts(browser, selector):
    return [found.text for found in browser.find_elements(By.CSS_SELECTOR, selector)]


def tensors(browser):
    return [name for name in texts(browser, ".opener") if name]


def wait_for(browser, selector):
    return WebDriverWait(browser, 5, 0.05).until(lambda b: b.find_element(By.CSS_SELECTOR, selector))


def pixels(browser, canvas, x, y, width):
    """(width, 4): red, green, blue, alpha from there on, read from a copy: Chromium warns where one canvas is read often."""
    script = """
        const [canvas, x, y, width] = arguments;
        const copy = new OffscreenCanvas(width, 1).getContext("2d");
        copy.drawImage(canvas, -x, -y);
        return [...copy.getImageData(0, 0, width, 1).data];
    """
    return np.reshape(browser.execute_script(script, canvas, x, y, width), (width, 4))


def pixel(browser, canvas, x, y):
    return pixels(browser, canvas, x, y, 1)[0].tolist()


def test_level_of_the_limit_is_exact():
    errors = [0.0, 1e-300, 0.5, 1.0, np.nextafter(1, 2), 1e300, np.inf, np.nan]
    zero, least, half, limit, over, most, not_finite, not_checked = base64.b64decode(heat_map(np.array(errors)))
    assert (zero, not_finite, not_checked) == (0, NOT_FINITE, NOT_CHECKED)
    assert 1 == least < half < limit == LIMIT < over < most < NOT_FINITE


def test_page_of_all_networks_is_small():
    """843,300 entries: a byte each, and base64."""
    assert len(heat_map(np.ones(843_300))) < 1.2e6


def test_opens_from_disk_without_error_or_request(show, results):
    for name in ("pass", "fail"):
        browser = show(*results[name])
        wait_for(browser, ".tensor")
        for button in browser.find_elements(By.CSS_SELECTOR, ".opener[aria-expanded=false]"):
            button.click()
        wait_for(browser, ".plot svg")
        sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in sent if event["method"] == "Network.requestWillBeSent"]
        assert [url for url in urls if not url.startswith("data:")] == [browser.current_url]
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_verdict_comes_first(show, results):
    browser = show(*results["fail"])
    wrong = sum(tensor["fail"] for tensor in results["fail"][0]["networks"][0]["tensors"])
    verdict = browser.find_element(By.TAG_NAME, "h1").text
    assert verdict.startswith(f"Fail\n3 of 6 tensors are wrong, at {wrong:,} entries; ")
    assert verdict.endswith(" of 12,362 entries verified.")
    assert "Would have caught a relative error of 3e-13" in browser.find_element(By.ID, "facts").text
    assert browser.title == "Gradient check: fail"
    assert show(*results["pass"]).find_element(By.TAG_NAME, "h1").text == "Pass\nAll 12,362 entries verified, in 6 tensors."


def test_wrong_tensors_are_open_on_top(show, results):
    browser = show(*results["fail"])
    assert tensors(browser)[:3] == ["W1", "W2", "W3"]
    assert [b.get_attribute("aria-expanded") for b in browser.find_elements(By.CSS_SELECTOR, ".opener")] == ["true"] * 3 + [
        "false"
    ] * 3
    detail = browser.find_element(By.CSS_SELECTOR, ".detail").text
    assert "W1: it has lambda*W1 where the cost's derivative is 2*lambda*W1" in detail
    assert "utograd and the complex step agree at" in detail
    worst = results["fail"][0]["networks"][0]["tensors"][0]["oracles"]["autograd"]["worst"]
    assert f"[{worst['index'][0]}, {worst['index'][1]}]" in detail
    for value in (worst["claimed"], worst["reference"]):
        assert any(float(shown) == pytest.approx(value, rel=1e-15) for shown in texts(browser, ".value"))


def test_a_tensor_that_fails_at_a_tie_alone_shows_the_tie_and_no_error(show):
    claimed = {"w": np.array([1.5, 1.0]), "v": np.array([0.5, 1.0])}
    points = {"w": np.array([0.0, 1.0]), "v": np.array([0.0, 1.0])}
    result = check(points, lambda p: np.abs(p["w"].real).sum() + np.abs(p["v"].real).sum(), lambda p: claimed, pictures=True)
    browser = show({"verdict": "fail", "seconds": 1.0, "networks": [result.as_json()]}, [result.pictures])
    assert texts(browser, "td[data-label='Error / allowed']")[0] == "\N{EN DASH}"
    details = browser.find_element(By.CSS_SELECTOR, ".detail").text
    assert "exact tie, beyond the one-sided derivatives" in details
    assert "[0]" in details
    for button in browser.find_elements(By.CSS_SELECTOR, ".opener[aria-expanded=false]"):
        button.click()
    assert "exact tie, between the one-sided derivatives" in browser.find_element(By.ID, "table").text


def test_a_tolerance_is_part_of_the_verdict(show):
    result = check(
        {"w": np.array([1.0, 2.0])},
        lambda p: (p["w"] ** 2).sum(),
        lambda p: {"w": 2 * p["w"] + 1e-7},
        tolerance={"w": 1e-6},
        pictures=True,
    )
    browser = show({"verdict": "pass", "seconds": 1.0, "networks": [result.as_json()]}, [result.pictures])
    assert browser.find_element(By.TAG_NAME, "h1").text.endswith("with a tolerance of 1e-06 for w, which was asked for.")
    wait_for(browser, ".opener").click()
    assert "A tolerance of 1e-6 was asked for" in browser.find_element(By.CSS_SELECTOR, ".detail").text


def test_sorts_by_click_and_by_keyboard(show, results):
    browser = show(*results["pass"])
    tensor, shape = (browser.find_element(By.XPATH, f"//th[button='{label}']") for label in ("Tensor", "Shape"))
    tensor.find_element(By.TAG_NAME, "button").click()
    assert tensors(browser) == ["b1", "b2", "b3", "W1", "W2", "W3"]
    assert (tensor.get_attribute("aria-sort"), shape.get_attribute("aria-sort")) == ("ascending", None)
    tensor.find_element(By.TAG_NAME, "button").click()
    assert tensors(browser) == ["W3", "W2", "W1", "b3", "b2", "b1"]
    shape.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert tensors(browser) == ["W1", "W3", "W2", "b3", "b1", "b2"]
    assert (tensor.get_attribute("aria-sort"), shape.get_attribute("aria-sort")) == (None, "descending")


def test_filters_by_text_and_verdict(show, results):
    browser = show(*results["fail"])
    search = browser.find_element(By.ID, "text")
    search.send_keys("b2")
    assert tensors(browser) == ["b2"]
    assert browser.find_element(By.ID, "shown").text.startswith("1 of 6 tensors")
    search.clear()
    search.send_keys("lambda w2")  # words of its diagnosis
    assert tensors(browser) == ["W2"]
    browser.find_element(By.CSS_SELECTOR, "input[value=pass]").click()
    assert tensors(browser) == []
    assert "No tensor matches" in browser.find_element(By.ID, "empty").text
    search.clear()
    search.send_keys(Keys.SPACE)
    assert tensors(browser) == ["b1", "b2", "b3"]


def test_keyboard_opens_a_row(show, results):
    browser = show(*results["pass"])
    button = browser.find_elements(By.CSS_SELECTOR, ".opener")[1]
    for key, shown in ((Keys.ENTER, True), (Keys.SPACE, False), (Keys.SPACE, True)):
        button.send_keys(key)
        detail = browser.find_element(By.ID, button.get_attribute("aria-controls"))
        assert (detail.is_displayed(), button.get_attribute("aria-expanded")) == (shown, str(shown).lower())
    assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert detail.find_elements(By.TAG_NAME, "h3")[0].text == "Worst entry for each oracle"


def test_heat_map_shows_what_is_over_the_limit(show, results):
    browser = show(*results["fail"])
    canvases = wait_for(browser, ".map.images").find_elements(By.TAG_NAME, "canvas")
    assert len(canvases) == 4
    over, last = pixel(browser, canvases[1], 5, 5), pixel(browser, canvases[2], 5, 5)
    assert over[3] == last[3] == 255
    assert over[0] > over[2] + 60  # red
    assert last[2] > last[0] + 20  # blue
    assert texts(browser, ".image figcaption") == ["row 0\n3,071 over", "row 1\n3,072 over", "row 2", "row 3\n1 over"]
    assert pixel(browser, canvases[3], 5, 0) == over
    W2 = browser.find_elements(By.CSS_SELECTOR, ".map:not(.images) canvas")[0]
    assert pixel(browser, W2, 1, 0) == over
    assert pixel(browser, W2, 0, 3) == last
    assert pixel(browser, W2, 3, 3) == [0, 0, 0, 0]  # not checked


def test_heat_map_is_read_by_keyboard_and_pointer(show, results):
    browser = show(*results["fail"])
    readout = wait_for(browser, ".readout")
    heat = browser.find_element(By.CSS_SELECTOR, ".map")
    WebDriverWait(browser, 5, 0.05).until(
        lambda _: readout.text.startswith("Worst: W1[0, 1] (red at row 0, column 1 of the image): ")
    )
    assert readout.text.endswith("times what is allowed")
    heat.send_keys(Keys.PAGE_DOWN, Keys.PAGE_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert readout.text.startswith("W1[2, 34] (red at row 1, column 2 of the image): about 9.1e-3 of what is allowed")
    heat.send_keys(Keys.HOME)
    assert readout.text.startswith("Worst: ")
    image = heat.find_elements(By.TAG_NAME, "canvas")[3]
    webdriver.ActionChains(browser).move_to_element(image).perform()
    assert readout.text.startswith("W1[3, ")


def test_entry_between_thousands_is_seen_and_named(show, results):
    """A tensor of three axes, wider than the page: a cell shows the worst of its entries."""
    result, pictures = copy.deepcopy(results["pass"])
    result["networks"][0]["tensors"][0] |= {"shape": [2, 50, 60], "entries": 6000, "fail": 1, "pass": 5999, "verdict": "fail"}
    pictures[0]["W1"]["errors"] = np.full((2, 50, 60), 0.01)
    pictures[0]["W1"]["errors"][1, 30, 7] = 30
    browser = show(result, pictures)
    canvas = wait_for(browser, ".map canvas")
    readout = browser.find_element(By.CSS_SELECTOR, ".readout").text
    assert readout == "Worst: W1[1, 30, 7], the worst of its cell: about 29 times what is allowed"
    width, height = int(canvas.get_attribute("width")), int(canvas.get_attribute("height"))
    assert canvas.size["width"] == width < 1280
    red, _, blue, _ = pixels(browser, canvas, 0, height - 1, width).T
    assert (red > blue).sum() == 1


def test_plots_have_axes_labels_and_numbers(show, results):
    browser = show(*results["fail"])
    WebDriverWait(browser, 5, 0.05).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".plot svg")) == 6)
    sweep, taylor = browser.find_elements(By.CSS_SELECTOR, ".plot")[:2]
    assert {"forward", "central", "complex", "step", "relative error"} <= set(sweep.text.split("\n"))
    assert len({curve.get_attribute("stroke-dasharray") for curve in sweep.find_elements(By.CSS_SELECTOR, ".curve")}) == 3
    assert {"slope 2", "slope 1", "dir. 1", "dir. 2", "remainder"} <= set(taylor.text.split("\n"))
    assert len(taylor.find_elements(By.CSS_SELECTOR, "rect.window")) == 1
    assert len(taylor.find_elements(By.CSS_SELECTOR, ".hollow")) == 2  # of direction 1, outside of the window
    browser.find_element(By.CSS_SELECTOR, "figure > details > summary").click()
    assert "complex step" in browser.find_element(By.CSS_SELECTOR, "figure > details table").text


@pytest.mark.parametrize("name", ["pass", "fail"])
def test_no_nan_is_shown(show, results, name):
    browser = show(*results[name])
    for button in browser.find_elements(By.CSS_SELECTOR, ".opener[aria-expanded=false]"):
        button.click()
    wait_for(browser, ".plot svg")
    shown = browser.execute_script(
        "return document.querySelector('header').outerHTML + document.querySelector('main').outerHTML"
    )
    for word in ("NaN", "undefined", "null", "Infinity", "[object"):
        assert word not in shown


def test_numbers_that_are_not_finite(show, results):
    result, pictures = copy.deepcopy(results["fail"])
    tensor = result["networks"][0]["tensors"][0]
    tensor["diagnosis"] = tensor["sensitivity"] = None
    for oracle in tensor["oracles"].values():
        oracle["worst"] |= {"claimed": None, "rel_error": None}
    pictures[0]["W1"]["errors"][...] = np.inf
    browser = show(result, pictures)
    assert "No known bug makes this pattern." in browser.find_element(By.CSS_SELECTOR, ".detail").text
    assert texts(browser, ".tensor .number")[5] == "not finite"
    WebDriverWait(browser, 5, 0.05).until(lambda b: b.find_element(By.CSS_SELECTOR, ".readout").text.endswith(": not finite"))


def test_markup_in_names_stays_text(show, results):
    result, pictures = copy.deepcopy(results["fail"])
    network = result["networks"][0]
    network |= {"name": ATTACK, "faults": [ATTACK], "notes": [ATTACK], "sensitivity": ATTACK}
    tensor = network["tensors"][0]
    pictures[0][ATTACK] = pictures[0].pop("W1")
    tensor |= {"name": ATTACK, "diagnosis": ATTACK}
    tensor["taylor"]["reason"] = ATTACK
    browser = show(result, pictures, ATTACK)
    wait_for(browser, ".plot svg")
    assert browser.find_element(By.ID, "command").get_attribute("textContent") == ATTACK
    assert ATTACK in {button.get_attribute("textContent") for button in browser.find_elements(By.CSS_SELECTOR, ".opener")}
    assert browser.find_element(By.CSS_SELECTOR, ".diagnosis").get_attribute("textContent") == ATTACK
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert.accept()


def test_light_and_dark(show, results):
    def luminance(colour):
        return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / (3 * 255)

    def look(scheme):
        browser = show(*results["fail"], scheme=scheme)
        wait_for(browser, ".map canvas")
        style = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
        paper, ink = map(luminance, browser.execute_script(style))
        return paper, ink, pixel(browser, browser.find_element(By.CSS_SELECTOR, ".map canvas"), 5, 5)

    (light, dark_ink, in_light), (dark, light_ink, in_dark) = look("light"), look("dark")
    assert light > 0.9 > 0.2 > dark_ink
    assert dark < 0.2 < 0.8 < light_ink
    assert in_light != in_dark


def test_fits_a_phone(show, results):
    long = "a_network_with_a_name_that_is_longer_than_the_screen_of_a_phone_is_wide"
    result, pictures = copy.deepcopy(results["fail"])
    result["networks"][0]["name"] = long
    result["networks"][0]["tensors"][0]["name"] = long
    pictures[0][long] = pictures[0].pop("W1")
    browser = show(result, pictures, f"python compare.py --html /tmp/{long}.html", width=360, height=740)
    WebDriverWait(browser, 5, 0.05).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".plot svg")) == 6)
    for summary in browser.find_elements(By.TAG_NAME, "summary"):
        browser.execute_script("arguments[0].click()", summary)
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]


def test_copies_the_command(show, results):
    browser = show(*results["pass"])
    browser.find_element(By.ID, "copy").click()
    said = WebDriverWait(browser, 5, 0.05).until(lambda b: b.find_element(By.ID, "copied").text)
    assert said in ("Copied", "Selected: copy it with Ctrl+C")


def test_says_what_is_missing(show, results):
    """A tensor without pictures or Taylor test, and a run without networks."""
    result, pictures = copy.deepcopy(results["pass"])
    result["networks"][0]["tensors"][0] |= {
        "verdict": "fail",
        "taylor": None,
        "directions": {"checked": 3, "fail": 1, "entry": None},
    }
    del pictures[0]["W1"]
    detail = show(result, pictures).find_element(By.CSS_SELECTOR, ".detail").text
    for sentence in ("No error was recorded", "No step was swept", "No Taylor test ran", "3 random directions were checked"):
        assert sentence in detail
    browser = show({"verdict": "pass", "seconds": 0.0, "networks": []}, [])
    assert browser.find_element(By.ID, "empty").text == "Nothing was checked."


def test_networks_of_one_name_keep_their_own_pictures(show, results):
    (passing, its_pictures), (failing, other_pictures) = results["pass"], results["fail"]
    result = failing | {"networks": failing["networks"] + passing["networks"]}
    browser = show(result, other_pictures + its_pictures)
    assert len(tensors(browser)) == 12
    browser.find_elements(By.CSS_SELECTOR, ".opener")[3].click()  # b1 of the failing network
    browser.find_element(By.XPATH, "(//tbody[contains(@class, 'pass')]//button[text()='W1'])").click()
    WebDriverWait(browser, 5, 0.05).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".map.images canvas")) == 8)
    captions = texts(browser, ".image figcaption")
    assert captions[:2] == ["row 0\n3,071 over", "row 1\n3,072 over"]
    assert captions[4:] == ["row 0", "row 1", "row 2", "row 3"]


# The page of a search.


def search_result(name="two-layer"):
    """What search.json holds, of three candidates with two seeds: the second is the best, the third diverged."""
    curve = [{"epoch": epoch, "loss": 2 - 0.1 * epoch, "accuracy": 0.1 + 0.04 * epoch} for epoch in range(11)]
    common = {"finished": 2, "diverged": [], "accuracies": [0.5, 0.51], "deviation": 0.005, "train": 0.6, "curve": curve}
    best = {"epoch": 10, "accuracy": 0.5}
    candidates = [
        common | {"stage": "coarse", "point": {"lambda": 0.001}, "mean": 0.5, "best": best},
        common | {"stage": "fine", "point": {"lambda": 0.004}, "mean": 0.505, "best": best},
        common
        | {"stage": "coarse", "point": {"lambda": 0.1}, "mean": None, "best": None, "train": None, "deviation": None}
        | {"diverged": [7], "curve": []},
    ]
    search = {"network": {"name": name}, "space": ["lambda=0.001..0.1:log"], "seeds": 2, "cycles": 2, "final_cycles": 3}
    final = {part: {"accuracy": accuracy} for part, accuracy in (("train", 0.7), ("val", 0.53), ("test", 0.5234))}
    return {"search": search, "candidates": candidates, "best": 1, "as_good": [0], "noise": 0.005, "final": final}


def test_search_page_opens_sorts_and_filters(show):
    browser = show.opened(search_html(search_result(), "python search.py two-layer"))
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"].split(":")[0] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert asked <= {"file", "data"}
    verdict = browser.find_element(By.ID, "verdict").text
    assert "lambda 0.004" in verdict
    assert "52.34 % on the test images, measured once" in verdict
    remarks = lambda: texts(browser, "tbody:not([hidden]) > tr > td:first-child")  # noqa: E731
    assert remarks() == ["best", "within noise of the best", "diverged at update 7"]
    head = next(button for button in browser.find_elements(By.CSS_SELECTOR, ".sorter") if button.text == "lambda")
    head.send_keys(Keys.ENTER)
    assert remarks() == ["diverged at update 7", "best", "within noise of the best"]
    browser.find_element(By.ID, "text").send_keys("fine")
    assert remarks() == ["best"]
    images = browser.find_elements(By.CSS_SELECTOR, "figure img")
    assert len(images) == 2
    assert all(browser.execute_script("return arguments[0].naturalWidth", image) > 300 for image in images)


def test_markup_in_the_name_of_a_searched_network_stays_text(show):
    browser = show.opened(search_html(search_result(ATTACK), ATTACK))
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert  # noqa: B018
    assert ATTACK.split("<img")[0] in browser.find_element(By.ID, "verdict").get_property("textContent")
    assert browser.find_element(By.ID, "command").get_property("textContent") == ATTACK


def test_search_page_fits_a_phone(show):
    browser = show.opened(search_html(search_result(), "python search.py two-layer"), width=390, scheme="dark")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


# The page of a reproduction.

REPRODUCED = [
    {
        "name": name,
        "report": name[:3],
        "title": f"title of {name}",
        "trains": True,
        "columns": ["specified"],
        "numbers": [
            {"name": "val accuracy", "reported": 50.0, "low": 49, "high": 51, "why": why},
            {"name": "test loss", "reported": "-", "low": None, "high": None, "why": ""},
        ],
        "doubts": ["who knows"],
        "runs": [
            {"column": "specified", "implementation": twin, "seed": 0, "seconds": 1.5, "command": ATTACK, "diverged": None}
            | {"commit": None, "environment": {"python": "3"}, "settings": {"data": "synthetic"}}
            | {"val": {"accuracy": accuracy}, "test": {"loss": 2.0}, "rows": {}}
            for twin in ("manual", "torch")
        ],
    }
    for name, accuracy, why in (("000-a", 0.5, ""), ("000-b", 0.6, "it is so"), ("004-c", 0.6, ""))
]


def reproduced():
    figure = FigureDescription("004-f", "curves", "A figure", ("004-c",))
    pixel = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
    return reproduction_html(REPRODUCED, Catalogue({}, (), (figure,)), [figure], {"004-f": pixel})


def test_reproduction_opens_filters_and_unfolds(show):
    browser = show.opened(reproduced())
    assert browser.find_element(By.ID, "verdict").text.startswith(
        "1 of 3\nnumbers within tolerance as specified, 0 more as run"
    )
    rows = lambda: [text for text in texts(browser, ".number-row:not([hidden]) .opener") if text]  # noqa: E731
    assert rows() == ["000-a", "000-b", "004-c"]
    assert texts(browser, ".badge") == ["as specified", "explained", "NOT MET"]
    assert texts(browser, "figcaption") == ["A figure"]
    button = browser.find_elements(By.CSS_SELECTOR, ".opener")[1]
    button.send_keys(Keys.ENTER)
    opened = browser.find_element(By.CSS_SELECTOR, ".opened")
    assert all(text in opened.text for text in ("title of 000-b", "it is so", "who knows", ATTACK.split("<img")[0]))
    with pytest.raises(NoAlertPresentException):
        browser.switch_to.alert  # noqa: B018
    button.send_keys(Keys.ENTER)
    assert not opened.is_displayed()
    browser.find_element(By.CSS_SELECTOR, "input[value=open]").find_element(By.XPATH, "..").click()
    assert rows() == ["004-c"]
    assert texts(browser, "h2") == ["", "Report 004"]
    browser.find_element(By.ID, "text").send_keys("nothing like it")
    assert rows() == []
    assert browser.find_element(By.ID, "empty").is_displayed()


def test_reproduction_fits_a_phone(show):
    browser = show.opened(reproduced(), width=390, scheme="dark")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
