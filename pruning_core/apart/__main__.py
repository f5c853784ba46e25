"""The fork server of the product: ``python -m pruning_core.apart <socket>``, started by ``isolation.Children``."""

from pruning_core.apart.table import TABLE, prepare
from pruning_core.isolation.fork_server import serve

serve(TABLE, prepare)
