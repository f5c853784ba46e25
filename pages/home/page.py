"""The first page: what this is, three doors, a prepared result, and where the visitor is."""

from pages.home import standing
from pages.ui import first_paint

first_paint.draw()
standing.section()
