# docker build -t pawl \
#   --build-arg VERSION=v1.2.3 --build-arg COMMIT=$(git rev-parse HEAD) \
#   --build-arg DATE=$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ) .
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION COMMIT DATE
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /image/pawl ./cmd/pawl \
 && mkdir -m 1777 /image/tmp \
 && mkdir /owned \
 && mkdir -m 0700 /owned/data

FROM scratch
# COPY keeps the modes inside the named folder, not the mode of the folder itself.
# SQLite uses /tmp for sorts that do not fit into memory.
COPY --from=build /image/ /
# A volume that is created here inherits the owner and the mode.
COPY --from=build --chown=65532:65532 /owned/ /
# For PostgreSQL with sslmode=verify-full, and for other TLS connections.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PAWL_DATA=/data
USER 65532:65532
VOLUME ["/data"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/pawl", "health"]
ENTRYPOINT ["/pawl"]
CMD ["serve"]
