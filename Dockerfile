# The server alone; it needs a PostgreSQL, see compose.yaml.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /turnwise ./cmd/turnwise

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /zoneinfo.zip
COPY --from=build /turnwise /turnwise
ENV ZONEINFO=/zoneinfo.zip TURNWISE_LISTEN=0.0.0.0:5754 TURNWISE_ADMIN_LISTEN=0.0.0.0:5755 TURNWISE_LOG_FORMAT=json
USER 65532:65532
EXPOSE 5754 5755
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s CMD ["/turnwise", "healthcheck"]
ENTRYPOINT ["/turnwise"]
CMD ["serve"]
