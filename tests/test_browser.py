"""The page in a real browser: what a person does with it."""

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from azdab.engine.engine import Engine
from azdab.engine.levels import LEVELS
from azdab.game import exchange
from azdab.game.board import Board, boxes_beside
from azdab.game.position import Position
from azdab.game.record import Record
from tests.test_web import served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

PATIENCE = 30_000  # milliseconds; the machine may be busy
GAME = (0, 6, 1, 7, 8, 2, 3, 4, 5, 9, 10, 11)
"""A whole game on 2x2."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        expect.set_options(timeout=PATIENCE)
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Page:
    """A page with its own storage, which notes whatever goes wrong in it."""

    def __init__(self, browser: Any, port: int, path: str = "/", **options: Any) -> None:
        self.origin, self.path = f"http://127.0.0.1:{port}", path
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE)
        self.wrong: list[str] = []
        self.page = self.open()

    def open(self) -> Any:
        """One more tab."""
        page = self.context.new_page()
        page.on("console", lambda message: self.wrong.append(message.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.goto(f"{self.origin}{self.path}")
        expect(page.locator("#board .edge").first).to_be_attached()
        return page

    def _check(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", f"blob:{self.origin}/")):
            self.wrong.append(f"a request to {url}")

    def close(self) -> None:
        self.context.close()
        assert self.wrong == []


@pytest.fixture
def opened(browser: Any, port: int) -> Iterator[Page]:
    page = Page(browser, port)
    yield page
    page.close()


def begin(page: Any, size: str, who: str, level: str = "easy", lines: str = "plain") -> None:
    """Start a game in the dialog."""
    page.click("#new")
    rows, cols = size.split("x")
    page.locator("[name=size][value=other]").check(force=True)
    page.fill("[name=rows]", rows)
    page.fill("[name=cols]", cols)
    page.locator(f"[name=variant][value={lines}]").check(force=True)
    page.locator(f"[name=who][value={who}]").check(force=True)
    if who != "people":
        page.locator(f"[name=level][value={level}]").check(force=True)
    page.click("#new-dialog [type=submit]")
    expect(page.locator("#new-dialog")).to_be_hidden()
    count = Board(int(rows), int(cols)).num_edges
    expect(page.locator("#board .edge")).to_have_count(count)


def draw(page: Any, edge: int) -> None:
    """Click on the middle of an edge."""
    box = page.locator(f"[data-edge='{edge}'].edge .hit").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def drawn(page: Any) -> Any:
    return page.locator("#board .edge.drawn")


def bring(page: Any, text: str) -> None:
    """Import a record by pasting it."""
    page.click("#import")
    page.fill("[name=text]", text)
    page.click("#import-dialog [type=submit]")


def reopen(page: Any, which: str) -> None:
    """Open a game that the browser keeps."""
    page.click("#games")
    page.locator("#lines button").filter(has_text=which).first.click()
    expect(page.locator("#games-dialog")).to_be_hidden()


def scores(page: Any) -> list[int]:
    return [int(text) for text in page.locator(".player output").all_inner_texts()]


def test_a_whole_game_by_clicking(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "people")
    expect(page.locator("#status")).to_have_text("A to move")
    for ply, edge in enumerate(GAME):
        draw(page, edge)
        expect(drawn(page)).to_have_count(ply + 1)
        expect(page.locator("#board .edge.last")).to_have_attribute("data-edge", str(edge))
    first, second = Position(Board(2, 2), GAME).scores
    assert scores(page) == [first, second]
    expect(page.locator("#board .box.owned")).to_have_count(4)
    wins = f"wins {max(first, second)}–{min(first, second)}"  # noqa: RUF001
    expect(page.locator("#status")).to_contain_text("A draw" if first == second else wins)


def test_a_whole_game_against_the_engine(opened: Page) -> None:
    page = opened.page
    begin(page, "1x2", "second", "medium")
    status = page.locator("#status")
    while True:
        expect(status).to_have_text(re.compile("Your turn|win|draw"))
        if "turn" not in status.inner_text():
            break
        before = drawn(page).count()
        draw(page, int(page.locator("#board .edge.open").first.get_attribute("data-edge")))
        expect(drawn(page).nth(before)).to_be_attached()
    assert sum(scores(page)) == 2


def test_the_page_knows_the_rules(opened: Page) -> None:
    board = Board(3, 4)
    moves = tuple(int(edge) for edge in np.random.default_rng(0).permutation(board.num_edges))
    found = opened.page.evaluate(
        """async (moves) => {
          const { makeBoard, positionAt } = await import("/static/rules.js");
          const board = makeBoard({ rows: 3, cols: 4, variant: "plain", start: [] });
          return {
            boxes: board.boxes.map(({ edges }) => edges),
            beside: board.edges.map(({ boxes }) => boxes),
            places: board.edges.map(({ flat, row, col }) => [flat ? "h" : "v", row, col]),
            positions: moves.concat(0).map((_, ply) => positionAt(board, moves, ply)),
          };
        }""",
        list(moves),
    )
    assert [sorted(edges) for edges in found["boxes"]] == np.sort(board.box_edges()).tolist()
    assert found["beside"] == [list(boxes) for boxes in boxes_beside(board)]
    assert found["places"] == [list(board.place(edge)) for edge in range(board.num_edges)]
    assert len(found["positions"]) == board.num_edges + 1
    for ply, shown in enumerate(found["positions"]):
        here = Position(board, moves[:ply])
        assert shown["drawn"] == here.edges.tolist()
        assert [-1 if owner is None else owner for owner in shown["owners"]] == here.owners.tolist()
        assert shown["movers"] == list(here.movers)
        assert (shown["toPlay"], shown["isOver"]) == (here.to_play, here.is_over)
        assert shown["scores"] == list(here.scores)
        assert sum(shown["closed"]) == sum(here.scores)


def test_edges_drawn_from_the_start_are_nobodys_and_no_moves(opened: Page) -> None:
    def answer(route: Any) -> None:
        response = route.fetch()
        state = response.json()
        state["board"]["start"] = [0, 1, 4]
        route.fulfill(response=response, json=state)

    page = opened.page
    page.route("**/api/games", answer)
    begin(page, "1x2", "people")
    status = page.locator("#status")
    expect(status).to_have_text("A to move")
    expect(drawn(page)).to_have_count(3)
    expect(page.locator("#board .edge.last")).to_have_count(0)
    expect(page.locator("#no-moves")).to_be_visible()
    expect(page.locator("[data-edge='4'].edge")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("[data-edge='4'].edge")).to_have_attribute(
        "aria-label", re.compile("drawn$")
    )
    for edge in (0, 2):  # the first is drawn already
        draw(page, edge)
    for ply, edge in enumerate((3, 5, 6)):
        expect(drawn(page)).to_have_count(ply + 4)
        draw(page, edge)
    expect(status).to_have_text("A wins 2–0")  # noqa: RUF001
    assert scores(page) == [2, 0]
    expect(page.locator("#board .box.owned.a")).to_have_count(2)
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(4)
    cursor, width = page.locator("#chart").evaluate(
        "chart => [Number(chart.querySelector('.cursor').getAttribute('x1')), chart.clientWidth]"
    )
    assert cursor == width - 10  # the end of the curve: a game has four plies
    page.locator("#moves .chip[data-ply='1']").click()
    expect(drawn(page)).to_have_count(4)
    expect(page.locator("#board .edge.last")).to_have_attribute("data-edge", "2")


def test_a_board_with_lines_is_chosen_and_played(opened: Page) -> None:
    page = opened.page
    begin(page, "1x2", "people", lines="swedish")
    expect(drawn(page)).to_have_count(6)
    draw(page, 5)  # the only edge that is left: it closes both boxes
    expect(page.locator("#status")).to_have_text("A wins 2–0")  # noqa: RUF001
    page.locator("#new").click()
    expect(page.locator("#variants [value=swedish]")).to_be_checked()


def test_undo_and_redo_by_button_and_key(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "people")
    expect(page.locator("#undo")).to_be_disabled()
    for ply, edge in enumerate((3, 8)):
        draw(page, edge)
        expect(drawn(page)).to_have_count(ply + 1)
    page.click("#undo")
    expect(drawn(page)).to_have_count(1)
    page.keyboard.press("u")
    expect(drawn(page)).to_have_count(0)
    page.keyboard.press("r")
    expect(drawn(page)).to_have_count(1)
    page.click("#redo")
    expect(drawn(page)).to_have_count(2)
    expect(page.locator("#redo")).to_be_disabled()


def test_the_hint_paints_only_good_moves_as_good(opened: Page) -> None:
    page, position = opened.page, Position(Board(2, 2), (0, 6))
    candidates = Engine(position.board, None, LEVELS["hard"]).analyze(position).candidates
    values = {one.edge: one.exact for one in candidates if one.exact is not None}
    losses = {edge: max(values.values()) - value for edge, value in values.items()}
    assert len(losses) == 10
    begin(page, "2x2", "people")
    for ply, edge in enumerate(position.moves):
        draw(page, edge)
        expect(drawn(page)).to_have_count(ply + 1)
    page.keyboard.press("h")
    expect(page.locator("#hint")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#board .edge.best")).to_have_count(1)
    grades = {0: "good", 1: "mistake", 2: "mistake"}
    for edge, loss in losses.items():
        shown = page.locator(f"[data-edge='{edge}'].edge")
        grade = grades.get(loss, "blunder")
        expect(shown).to_have_class(re.compile(rf"\bedge open {grade}( best)?$"))
        expect(shown.locator(".loss")).to_have_text(f"−{loss}" if loss else "")  # noqa: RUF001
    assert {0} < set(losses.values())
    colours = {
        grade: page.locator(f"#board .edge.{grade} .line").first.evaluate(
            "line => getComputedStyle(line).stroke"
        )
        for grade in {grades.get(loss, "blunder") for loss in losses.values()}
    }
    assert len(set(colours.values())) == len(colours) > 1
    expect(page.locator("#board .edge.best")).to_have_attribute(
        "aria-label", re.compile("the best move")
    )
    page.locator("#board .edge.best .hit").hover(force=True)
    expect(page.locator("#legend")).to_contain_text("the best move")
    expect(page.locator("#margin")).to_contain_text("with perfect play")
    expect(page.locator("#chart .curve")).to_be_attached()
    page.click("#hint")
    expect(page.locator("#board .edge.good")).to_have_count(0)
    assert page.locator("#board .loss").all_text_contents() == [""] * 12


def test_where_little_is_known_only_that_is_painted(opened: Page) -> None:
    page = opened.page
    begin(page, "6x6", "people")
    page.keyboard.press("h")
    expect(page.locator("#board .edge.best.good")).to_have_count(1)
    expect(page.locator("#legend")).to_contain_text("only the best move")
    assert (
        page.locator("#board .edge.good, #board .edge.mistake, #board .edge.blunder").count() == 1
    )


def test_a_new_game_shows_nothing_of_the_old_one(opened: Page) -> None:
    page = opened.page
    bring(page, exchange.dump_game(Record(Position(Board(1, 3), tuple(range(6)))), "text"))
    bar = page.locator("#bar")
    expect(bar).not_to_have_class(re.compile("unknown"))
    page.locator("#moves .chip[data-ply='6']").hover()
    expect(page.locator("#board .edge.pointed")).to_have_count(1)
    page.route("**/analysis*", lambda route: None)  # never answered
    page.keyboard.press("n")
    page.locator("[name=who][value=people]").check(force=True)
    page.click("#new-dialog [type=submit]")
    expect(page.locator("#no-moves")).to_be_visible()
    expect(bar).to_have_class(re.compile("unknown"))
    expect(page.locator("#margin")).to_have_text("Judging the position…")
    expect(page.locator("#board .edge.pointed")).to_have_count(0)
    expect(page.locator("#chart .curve")).to_have_count(0)


def test_chains_are_shown_and_hidden(opened: Page) -> None:
    page = opened.page
    bring(page, exchange.dump_game(Record(Position(Board(1, 3), tuple(range(6)))), "text"))
    expect(page.locator("#board .chain.long")).to_have_count(1)
    expect(page.locator("#shape")).to_contain_text("Long chains: 1")
    page.keyboard.press("c")
    expect(page.locator("#board .chain")).to_have_count(0)


def test_the_keyboard_alone(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "people")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowDown")  # to the board, at h 0 0
    expect(page.locator("[data-edge='0'].edge")).to_be_focused()
    for key, edge in [("ArrowRight", 1), ("ArrowDown", 7), ("ArrowRight", 8), ("ArrowRight", 8)]:
        page.keyboard.press(key)
        expect(page.locator(f"[data-edge='{edge}'].edge")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("[data-edge='8'].edge.drawn")).to_be_attached()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    expect(drawn(page)).to_have_count(2)
    expect(page.locator("[data-edge='1'].edge")).to_have_attribute(
        "aria-label", re.compile("horizontal edge, row 0, column 1, drawn")
    )


def test_a_record_is_imported_stepped_through_and_gone_on_from(opened: Page) -> None:
    page = opened.page
    record = Record(Position(Board(2, 2), GAME), first="Ann", second="Ben")
    bring(page, exchange.dump_game(record, "text"))
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(12)
    expect(drawn(page)).to_have_count(12)
    expect(page.locator("#player-0 small")).to_have_text("Ann")
    for key, count in [("ArrowLeft", 11), ("ArrowLeft", 10), ("ArrowRight", 11)]:
        page.keyboard.press(key)  # no edge can be drawn here
        expect(drawn(page)).to_have_count(count)
    page.locator("#moves .chip[data-ply='3']").click()
    expect(drawn(page)).to_have_count(3)
    expect(page.locator("#status")).to_have_text("After move 3 of 12")
    page.click("#earlier")
    expect(drawn(page)).to_have_count(2)
    page.keyboard.press(".")
    expect(drawn(page)).to_have_count(3)
    page.click("#back")
    expect(drawn(page)).to_have_count(12)
    page.click("#first")
    expect(page.locator("#status")).to_have_text("Before the first move")
    page.locator("#moves .chip[data-ply='4']").click()
    page.click("#from-here")
    expect(page.locator("#looking")).to_be_hidden()
    expect(page.locator("#moves .undone")).to_have_count(8)
    draw(page, 11)
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(5)
    # The moves that were replaced are a game of their own.
    expect(page.locator("#notice")).to_contain_text("Earlier games")
    reopen(page, "12 of 12 moves")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(12)
    expect(page.locator("#player-0 small")).to_have_text("Ann")
    reopen(page, "5 of 12 moves")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(5)


def test_a_click_while_looking_back_draws_nothing(opened: Page) -> None:
    page = opened.page
    bring(page, exchange.dump_game(Record(Position(Board(2, 2), GAME[:5])), "text"))
    page.locator("#moves .chip[data-ply='2']").click()
    expect(drawn(page)).to_have_count(2)
    draw(page, 11)
    page.click("#back")
    expect(drawn(page)).to_have_count(5)
    expect(page.locator("[data-edge='11'].edge.open")).to_be_attached()


def test_a_file_is_imported_and_bad_text_refused_in_the_dialog(opened: Page) -> None:
    page = opened.page
    bring(page, "nonsense")
    expect(page.locator("#import-dialog .error")).to_contain_text("not a record")
    record = Record(Position(Board(5, 5), (0, 1, 2)), first="红", second="蓝")
    text = exchange.dump_game(record, "ccgc").encode()
    page.set_input_files(
        "[name=file]", {"name": "g.json", "mimeType": "application/json", "buffer": text}
    )
    expect(page.locator("[name=text]")).to_have_value(re.compile("piece"))
    page.click("#import-dialog [type=submit]")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(3)
    expect(page.locator("#player-0 small")).to_have_text("红")
    # The browser itself reports the status of the refused import.
    opened.wrong[:] = [line for line in opened.wrong if "400 (Bad Request)" not in line]


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_export_as_text_and_as_a_file(opened: Page, form: str) -> None:
    page = opened.page
    position = Position(Board(5, 5), (0, 30, 7))
    bring(page, exchange.dump_game(Record(position), "text"))
    expect(drawn(page)).to_have_count(3)
    page.click("#export")
    expect(page.locator("#export-dialog")).to_be_visible()
    page.locator(f"[name=format][value={form}]").check(force=True)
    shown = page.locator("#export-dialog textarea")
    starts = {"text": "azdab record", "ccgc": '"R"', "openspiel": "dots_and_boxes"}
    expect(shown).to_have_value(re.compile(starts[form]))
    assert exchange.parse_games(shown.input_value())[0].position == position
    with page.expect_download() as waiting:
        page.click("#download")
    content = waiting.value.path().read_text(encoding="utf-8")
    assert exchange.parse_games(content)[0].position == position
    page.keyboard.press("Escape")
    expect(page.locator("#export-dialog")).to_be_hidden()


def test_two_tabs_are_two_games(opened: Page) -> None:
    one, two = opened.page, opened.open()
    begin(one, "2x2", "people")
    begin(two, "1x1", "people")
    draw(one, 5)
    draw(two, 0)
    expect(drawn(one)).to_have_count(1)
    draw(one, 6)
    expect(drawn(one)).to_have_count(2)
    expect(drawn(two)).to_have_count(1)
    one.reload()
    expect(drawn(one)).to_have_count(2)
    expect(one.locator("#board .edge")).to_have_count(12)


def test_the_engine_plays_itself_and_can_be_stopped(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "watch")
    expect(drawn(page).nth(1)).to_be_attached()
    page.click("#pause")
    expect(page.locator("#status")).to_have_text("Paused")
    page.click("#pause")
    expect(page.locator("#status")).to_contain_text(re.compile("wins|draw"))
    assert sum(scores(page)) == 4


def test_a_seat_can_be_given_to_the_engine(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "people")
    page.select_option("#player-0 select", "easy")
    expect(drawn(page)).to_have_count(1)
    expect(page.locator("#status")).to_have_text("Your turn")


def test_undo_while_the_engine_thinks_is_not_overruled(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "first")
    held: list[Any] = []
    page.route("**/engine", lambda route: held.append(route), times=1)
    draw(page, 0)
    expect(page.locator("#status")).to_have_text("azdab is thinking…")
    page.click("#undo")
    expect(drawn(page)).to_have_count(0)
    expect(page.locator("#status")).to_have_text("Your turn")
    held[0].continue_()
    draw(page, 4)
    expect(drawn(page)).to_have_count(2)
    expect(page.locator("#moves .chip[data-ply='1']")).to_contain_text("h 2 0")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(2)
    # The browser itself reports the status of the answer that came too late.
    opened.wrong[:] = [line for line in opened.wrong if "409 (Conflict)" not in line]


def test_a_host_that_is_gone_is_said(opened: Page) -> None:
    page = opened.page
    begin(page, "2x2", "people")
    page.route("**/move", lambda route: route.abort())
    draw(page, 0)
    expect(page.locator("#notice")).to_contain_text("does not answer")
    page.unroute("**/move")
    draw(page, 0)
    expect(drawn(page)).to_have_count(1)
    opened.wrong[:] = [line for line in opened.wrong if "net::ERR_FAILED" not in line]


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("size", ["5x5", "10x10", "1x10", "1x1"])
def test_the_page_fits_a_phone(browser: Any, port: int, size: str, language: str) -> None:
    opened = Page(
        browser, port, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True,
        device_scale_factor=2, locale=language,
    )  # fmt: skip
    page = opened.page
    begin(page, size, "people")
    page.locator("[data-edge='0'].edge .hit").tap()
    expect(drawn(page)).to_have_count(1)
    page.click("#hint")
    expect(page.locator("#legend")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    hit = page.locator("[data-edge='1'].edge .hit").bounding_box()
    assert min(hit["width"], hit["height"]) >= 24
    for name in ("new", "import", "export", "help"):
        page.click(f"#{name}")
        dialog = page.locator(f"#{name}-dialog")
        expect(dialog).to_be_visible()
        assert dialog.evaluate("node => node.scrollWidth <= node.clientWidth")
        page.keyboard.press("Escape")
    opened.close()


def test_dark_and_light(browser: Any, port: int) -> None:
    def brightness(page: Any) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3]))

    for scheme, other in (("dark", "light"), ("light", "dark")):
        opened = Page(browser, port, color_scheme=scheme)
        page = opened.page
        assert (brightness(page) < 200) == (scheme == "dark")
        while page.evaluate("document.documentElement.dataset.theme") != other:
            page.click("#theme")
        assert (brightness(page) < 200) == (scheme != "dark")
        page.reload()
        expect(page.locator("#board .edge").first).to_be_attached()
        assert (brightness(page) < 200) == (scheme != "dark")
        opened.close()


def test_chinese_by_default_and_by_choice(browser: Any, port: int) -> None:
    opened = Page(browser, port, locale="zh-CN")
    page = opened.page
    expect(page.locator("#status")).to_have_text("轮到你了")
    expect(page).to_have_title(re.compile("点格棋"))
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    # Nothing is left in English but names.
    words = page.evaluate("document.body.innerText")
    assert set(re.findall(r"[A-Za-z]{3,}", words)) <= {"azdab", "English"}
    page.click("#language")
    expect(page.locator("#status")).to_have_text("Your turn")
    page.reload()
    expect(page.locator("#status")).to_have_text("Your turn")
    opened.close()


def test_nothing_moves_where_people_want_rest(browser: Any, port: int) -> None:
    opened = Page(browser, port, reduced_motion="reduce")
    page = opened.page
    draw(page, 0)
    expect(drawn(page)).not_to_have_count(0)
    last = page.locator("#board .edge.last .line").first
    assert last.evaluate("node => getComputedStyle(node).animationName") == "none"
    opened.close()


def test_every_control_has_a_name(opened: Page) -> None:
    unnamed = opened.page.evaluate(
        """[...document.querySelectorAll("button, select, input, textarea, [role]")]
          .filter(node => !(node.getAttribute("aria-label") || node.textContent.trim() ||
                            ["alert", "status", "toolbar"].includes(node.role) ||
                            node.closest("label")?.textContent.trim()))
          .map(node => node.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []


def test_a_game_that_nobody_knows_is_replaced(opened: Page) -> None:
    page = opened.page
    page.evaluate("sessionStorage.setItem('azdab-game', 'forgotten')")
    page.reload()
    expect(page.locator("#status")).to_have_text("Your turn")


def test_undo_takes_back_from_what_is_looked_at(opened: Page) -> None:
    page = opened.page
    bring(page, exchange.dump_game(Record(Position(Board(2, 2), GAME)), "text"))
    expect(drawn(page)).to_have_count(12)
    page.locator("#moves .chip[data-ply='8']").click()
    expect(drawn(page)).to_have_count(8)
    expect(page.locator("#redo")).to_be_disabled()
    page.keyboard.press("u")
    expect(drawn(page)).to_have_count(7)
    expect(page.locator("#looking")).to_be_hidden()
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(12)
    page.click("#redo")
    expect(drawn(page)).to_have_count(8)
    # Moves that were taken back are gone on to in the same way.
    page.locator("#moves .chip[data-ply='11']").click()
    expect(page.locator("#undo")).to_be_disabled()
    page.click("#from-here")
    expect(page.locator("#looking")).to_be_hidden()
    expect(page.locator("#moves .undone")).to_have_count(1)


class Restarted:
    """A host on one port that can be ended and started again, and then knows no game."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.port = self._stack.enter_context(served())

    def stop(self) -> None:
        self._stack.close()

    def start(self) -> None:
        self._stack.enter_context(served(port=self.port))


@pytest.fixture
def host() -> Iterator[Restarted]:
    made = Restarted()
    yield made
    made.stop()


def forgive(opened: Page, *said: str) -> None:
    """Take what the browser itself reports of failed requests out of what went wrong."""
    opened.wrong[:] = [line for line in opened.wrong if not any(word in line for word in said)]


def test_a_game_outlives_its_host(browser: Any, host: Restarted) -> None:
    opened = Page(browser, host.port)
    page = opened.page
    record = Record(
        Position(Board(2, 3, "icelandic"), (2, 10, 15)), first="Ann <b>", second="点", event="home",
        date="2026-11-20", remark="one\ntwo", evaluations={0: -0.5, 2: 1.25}, remarks={1: "hm # ?"},
        claim="B wins on time",
    )  # fmt: skip
    bring(page, exchange.dump_game(record, "text"))
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(3)
    page.click("#undo")
    expect(page.locator("#moves .undone")).to_have_count(1)
    page.click("#evaluation")  # it would be in the record
    host.stop()
    # Without the host there is still the record.
    page.click("#export")
    shown = page.locator("#export-dialog textarea")
    expect(shown).to_have_value(re.compile("azdab record"))
    kept = dataclasses.replace(
        record, position=record.position.at(2), evaluations={0: -0.5}, remarks={1: "hm # ?"},
        claim="",
    )  # fmt: skip
    assert shown.input_value() == exchange.dump_game(kept, "text")
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.path().read_text(encoding="utf-8") == shown.input_value()
    assert waiting.value.suggested_filename == "dots-and-boxes-2x3-icelandic.txt"
    for other in ("ccgc", "openspiel"):  # neither knows lines at the start
        expect(page.locator(f"[name=format][value={other}]")).to_be_disabled()
    page.keyboard.press("Escape")
    page.click("#redo")
    expect(page.locator("#notice")).to_contain_text("does not answer")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(3)
    host.start()
    page.click("#redo")
    expect(page.locator("#moves .undone")).to_have_count(0)
    page.click("#export")
    expect(shown).to_have_value(re.compile("eval \\+1.25"))
    (read,) = exchange.parse_games(shown.input_value())
    assert read == record
    page.keyboard.press("Escape")
    page.select_option("#player-1 select", "easy")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(4)
    page.click("#undo")
    expect(page.locator("#moves .undone")).to_have_count(2)
    host.stop()
    host.start()
    page.reload()
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(4)
    expect(page.locator("#moves .undone")).to_have_count(2)
    expect(page.locator("#player-0 small")).to_have_text("Ann <b>")
    expect(page.locator("#player-1 select")).to_have_value("easy")
    forgive(opened, "404 (Not Found)", "net::ERR_")
    opened.close()


def test_the_page_writes_records_as_the_host_does(opened: Page) -> None:
    written = opened.page.evaluate("""async () => {
      const { recordText, aboutFirst } = await import("/static/record.js");
      const { makeBoard } = await import("/static/rules.js");
      const board = makeBoard({ rows: 1, cols: 1, variant: "plain", start: [] });
      const about = { date: "", event: "", remark: "", remarks: {}, claim: "A wins",
        evaluations: { 0: -0.001, 1: -0, 2: -0.01 } };
      const { claim, ...kept } = about;  // by a page from before there were claims
      return [recordText(board, [0, 1, 2], ["", ""], about),
        recordText(board, [0, 1, 2], ["", ""], kept),
        recordText(board, [0, 1], ["", ""], aboutFirst(about, 2, false))];
    }""")
    game = Record(
        Position(Board(1, 1), (0, 1, 2)), evaluations={0: -0.001, 1: -0.0, 2: -0.01}, claim="A wins"
    )
    assert written == [
        exchange.dump_game(one, "text")
        for one in (game, dataclasses.replace(game, claim=""), game.going_on(game.position.at(2)))
    ]
    assert written[0].count("eval +0.00") == 2


def test_what_is_left_out_of_a_record_is_shown(opened: Page) -> None:
    page = opened.page
    text = exchange.dump_game(Record(Position(Board(1, 1), (0, 1))), "text")
    bring(page, f"{text}\n{text[:-3]}")
    expect(page.locator("#moves .chip[data-edge]")).to_have_count(2)
    expect(page.locator("#notice")).to_contain_text(
        "Opened. Step through the moves, or play on from any of them. "
        "But the last of 2 games is left out: line 13: "
    )


def test_the_engine_plays_on_after_a_new_start(browser: Any, host: Restarted) -> None:
    opened = Page(browser, host.port)
    page = opened.page
    begin(page, "2x2", "first")
    draw(page, 0)
    expect(page.locator("#status")).to_have_text("Your turn")
    expect(drawn(page)).to_have_count(2)
    host.stop()
    page.click("#export")
    page.locator("[name=format][value=openspiel]").check(force=True)
    expect(page.locator("#export-dialog .error")).to_contain_text("does not answer")
    page.keyboard.press("Escape")
    host.start()
    open_edge = page.locator("#board .edge.open").first.get_attribute("data-edge")
    draw(page, int(open_edge))
    expect(drawn(page).nth(3)).to_be_attached()
    expect(page.locator("#status")).to_have_text(re.compile("Your turn"))
    forgive(opened, "404 (Not Found)", "net::ERR_")
    opened.close()


FORBIDDEN = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });
"""


def test_where_storage_is_forbidden_one_can_play(browser: Any, host: Restarted) -> None:
    opened = Page(browser, host.port)
    opened.context.add_init_script(FORBIDDEN)
    page = opened.open()
    begin(page, "2x2", "people")
    draw(page, 0)
    expect(drawn(page)).to_have_count(1)
    host.stop()
    host.start()
    draw(page, 1)
    expect(drawn(page)).to_have_count(2)
    page.click("#games")
    expect(page.locator("#games-note")).to_contain_text("export what you want to keep")
    page.keyboard.press("Escape")
    asked: list[str] = []

    def leave(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.reload()
    expect(page.locator("#no-moves")).to_be_visible()
    assert asked == ["beforeunload"]
    forgive(opened, "404 (Not Found)", "ERR_CONNECTION_REFUSED")
    opened.close()


def test_storage_that_is_full_or_of_others_is_no_fault(opened: Page) -> None:
    page = opened.page
    page.evaluate(
        """() => {
          for (const [key, text] of [["a", "{"], ["b", "[1]"], ["c", "null"], ["d", '{"moves":1}']])
            localStorage.setItem(`azdab-line-${key}`, text);
          try {
            for (let size = 1 << 22; size >= 1; size = size > 64 ? size >> 1 : size - 1)
              for (let n = 0; n < 3; n++) localStorage.setItem(`x${size}-${n}`, "x".repeat(size));
          } catch {}
        }"""
    )
    begin(page, "2x2", "people")
    draw(page, 0)
    expect(drawn(page)).to_have_count(1)
    page.click("#games")
    expect(page.locator("#games-dialog")).to_be_visible()
    expect(page.locator("#lines button")).to_have_count(0)


def test_games_are_kept_and_the_oldest_forgotten(opened: Page) -> None:
    page = opened.page
    kept = page.evaluate(
        """async () => {
          const { keepLine, keptLines } = await import("./static/lines.js");
          const line = keptLines()[0][1];
          let now = Date.now();
          Date.now = () => ++now;
          for (let n = 0; n < 70; n++) keepLine(`n${n}`, { ...line, ply: n });
          return keptLines().map(([key]) => key);
        }"""
    )
    assert len(kept) == 60
    assert set(kept) == {f"n{n}" for n in range(10, 70)}


def test_a_page_behind_a_path_of_a_proxy(browser: Any) -> None:
    with served(prefix="/a/dots") as port:
        opened = Page(browser, port, path="/a/dots")
        page = opened.page
        begin(page, "2x2", "people")
        draw(page, 0)
        expect(drawn(page)).to_have_count(1)
        page.reload()
        expect(drawn(page)).to_have_count(1)
        opened.close()
