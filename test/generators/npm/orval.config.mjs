export default {
  pawl: {
    input: "openapi.yaml",
    output: { target: "generated/orval.ts", client: "fetch", mode: "single", baseUrl: process.env.PAWL_URL },
  },
};
