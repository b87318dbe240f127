# syntax=docker/dockerfile:1
# The image of all roles: one static binary, certificates, time zones. `cargo xtask image` makes the
# same without Docker.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev ca-certificates tzdata
WORKDIR /src
COPY . .
# The commit that `orderstream --version` prints.
ARG REVISION=
ENV ORDERSTREAM_COMMIT=${REVISION}
# A static glibc: the resolver's files and DNS are part of it (glibc 2.34 and newer). The cached folder may
# have builds of several architectures, so the target's own is named.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --profile dist --locked -p orderstream --target "$target" \
    && mkdir -p /out/data /out/etc/ssl/certs /out/usr/share \
    && cp "target/$target/dist/orderstream" /out/orderstream \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && cp -r /usr/share/zoneinfo /out/usr/share/zoneinfo \
    && rm -rf /out/usr/share/zoneinfo/posix /out/usr/share/zoneinfo/right \
    && echo 'orderstream:x:65532:65532::/:/none' > /out/etc/passwd \
    && echo 'orderstream:x:65532:' > /out/etc/group \
    && chown 65532:65532 /out/data

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="orderstream" \
      org.opencontainers.image.description="Requests for quotation on Kubernetes" \
      org.opencontainers.image.source="https://github.com/orderstream/orderstream" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/ /
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Memory that is no longer used goes back at once, and not after ten seconds or never: a tenth less is
# held with ten thousand orders (docs/benchmarks.md).
ENV MIMALLOC_PURGE_DELAY=0
USER 65532:65532
EXPOSE 8004 8005 9090 50051
ENTRYPOINT ["/orderstream"]
