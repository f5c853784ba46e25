# The dashboard in a container:
#   docker build -t prunescope .
#   docker run --rm -p 127.0.0.1:8501:8501 -e PRUNESCOPE_PASSWORD='ten letters or more' -v prunescope:/data prunescope
# Other machines reach it through a proxy, or with -p 8501:8501 and PRUNESCOPE_HOSTS: docs/trust.md.
# Without a GPU a third of the size:
#   docker build --build-arg WHEEL_INDEX=https://download.pytorch.org/whl/cpu -t prunescope .
ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim

# requirements-cluster.txt for compose.yaml: the same with workers on other machines; requirements-huggingface.txt: with
# transformers, for networks from Hugging Face.
ARG REQUIREMENTS=requirements.txt
# An index beside the default one; its builds win where they carry a local version such as +cpu.
ARG WHEEL_INDEX=""

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PRUNESCOPE_DATA=/data \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501

WORKDIR /app
# As `make run` does it: by the lock, or with WHEEL_INDEX by its versions. Compiled here, because who runs it may not write.
COPY requirements*.txt requirements*.lock ./
COPY tools/__init__.py tools/packages.py tools/
RUN UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PIP_NO_CACHE_DIR=1 \
    python -m tools.packages install "$REQUIREMENTS" ${WHEEL_INDEX:+--extra-index-url "$WHEEL_INDEX"} && \
    pip uninstall --yes --quiet --root-user-action=ignore uv

COPY . .
# A number and not a name, so that a cluster can check that it is not root.
RUN mkdir /data && chown 10001:10001 /data
USER 10001:10001
ENV HOME=/data LOGNAME=prunescope
VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

CMD ["python", "-m", "streamlit", "run", "app.py"]
