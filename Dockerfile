# The server in a container, for CPUs or for NVIDIA GPUs:
#   docker build -t unilatent .                             docker run -p 127.0.0.1:8000:8000 unilatent
#   docker build -t unilatent --build-arg DEVICE=gpu .      docker run --gpus all -p 127.0.0.1:8000:8000 unilatent
# It serves the shipped models. For a run of yours: docker run -v "$PWD/runs:/runs:ro" ... unilatent /runs/mine
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build==1.6.1 && python -m build --wheel

FROM python:3.12-slim
ARG DEVICE=cpu
COPY constraints.txt /tmp/
# torch of PyPI brings CUDA; the build for CPUs is on PyTorch's own index
RUN if [ "$DEVICE" = cpu ]; then \
        pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' /tmp/constraints.txt)"; \
    else \
        pip install --no-cache-dir "$(grep '^torch==' /tmp/constraints.txt)"; \
    fi
COPY --from=build /source/dist/ /tmp/dist/
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt "$(echo /tmp/dist/*.whl)[speak,serve]" && \
    useradd --uid 1000 --create-home unilatent
USER 1000
WORKDIR /home/unilatent
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["unilatent", "serve", "--host", "0.0.0.0"]
CMD ["summarizer", "demo"]
