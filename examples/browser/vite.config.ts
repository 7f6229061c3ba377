import { defineConfig, loadEnv } from "vite";

export default defineConfig(({ mode }) => {
  const pawl = loadEnv(mode, import.meta.dirname)["VITE_PAWL_URL"];
  return {
    server: {
      host: "127.0.0.1", // with the port, the origin that Pawl allows
      port: 5173,
      strictPort: true,
      fs: { allow: [".", "../../sdk/typescript"] }, // @pawl/client is a link to a folder here
    },
    plugins: [
      {
        // The built page runs its own scripts only, and sends requests to Pawl only. This is the best protection of
        // a session from injected scripts. The development server needs more.
        name: "content-security-policy",
        apply: "build",
        transformIndexHtml: () => [
          {
            tag: "meta",
            injectTo: "head-prepend",
            attrs: {
              "http-equiv": "Content-Security-Policy",
              content: `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src ${pawl}`,
            },
          },
        ],
      },
    ],
  };
});
