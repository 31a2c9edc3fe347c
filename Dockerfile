# The playground in a container; docs/operating.md says how to run it, SECURITY.md what isolates the code that runs inside.
FROM python:3.13-slim AS built
COPY . /src
RUN pip wheel --no-cache-dir --wheel-dir /wheels /src

FROM python:3.13-slim
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap libseccomp2 && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=built,source=/wheels,target=/wheels pip install --no-cache-dir --no-index --find-links /wheels dynamic-workflows-playground
ENV PLAYGROUND_HOST=0.0.0.0 PLAYGROUND_DATABASE=sqlite:////data/playground.db
VOLUME /data
WORKDIR /data
EXPOSE 8000
CMD ["playground"]
