"""Each lesson is walked to its end: every step is asked, measured, and followed by the next."""

from playwright.sync_api import expect

from pages.lessons.lessons import LESSONS
from tests.browser.conftest import settle


def test_each_lesson_is_walked_to_its_end(server, visitor, shoot):
    page = visitor().new_page()
    page.goto(f"{server.url}/lessons")
    for place, lesson in enumerate(LESSONS, 1):
        page.get_by_text(f"{place}. {lesson.title}", exact=True).click(timeout=120_000)
        for number, step in enumerate(lesson.steps, 1):
            expect(page.get_by_role("heading", name=step.question)).to_be_visible()
            settle(page)
            page.get_by_role("button", name="Measure it").click()
            last = number == len(lesson.steps)
            onward = page.get_by_role("button", name="Finish" if last else "Next", exact=True)
            expect(onward).to_be_visible(timeout=180_000)
            expect(page.locator(".js-plotly-plot").first).to_be_visible()
            told = page.get_by_text("Measured:").or_(page.get_by_text("Too noisy to tell."))  # times, beside other work
            expect(told.first).to_be_visible()
            onward.click()
        expect(page.get_by_role("heading", name=f"That was: {lesson.title}")).to_be_visible()
        shoot(page, f"lesson-{lesson.key}")
