// An API with Express that verifies tokens in memory, and rejects a superseded one within a second.
// It needs express and @pawl/client (sdk/typescript/README.md has the steps). PAWL_URL is the address of Pawl, and
// PAWL_API_KEY an API key of scope Verify of a user of level NetOps or above.
import express from "express";
import { createVerifier, expressAuth } from "@pawl/client/server";

const [host, port] = (process.env.API_ADDR ?? "127.0.0.1:9000").split(":");
const verifier = createVerifier({
  url: process.env.PAWL_URL ?? "http://127.0.0.1:8080",
  apiKey: process.env.PAWL_API_KEY,
  mode: "feed",
});
const app = express();
app.get("/status", (request, response) => response.json(verifier.stats()));
app.use(expressAuth(verifier));
app.get("/", (request, response) => response.send(`hello user ${request.pawl.userId}, ${request.pawl.authLevel}\n`));
const server = app.listen(Number(port), host);

process.once("SIGTERM", () => {
  server.close();
  verifier.close();
});
