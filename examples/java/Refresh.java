import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.regex.Pattern;

/** Signs in, refreshes once, and shows that only the new token is valid. */
public class Refresh {
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    public static void main(String[] args) {
        try {
            run();
        } catch (Exception error) {
            String message = error.getMessage(); // a refused connection, for example, has none
            System.err.println("Refresh.java: " + (message == null ? error.getClass().getSimpleName() : message));
            System.exit(1);
        }
    }

    private static void run() throws Exception {
        String signIn = "{\"login\":%s,\"password\":%s}".formatted(
                quote(setting("PAWL_LOGIN")), quote(setting("PAWL_PASSWORD")));
        String old = exchange("/v2/auth/login", signIn, "Accept", "application/json");
        System.out.println("signed in as user " + field(old, "userId"));

        String current = "{\"token\":%s}".formatted(quote(field(old, "token")));
        String fresh = exchange("/v2/auth/refresh", current, "X-API-Key", setting("ECGRID_API_KEY"));
        System.out.println("refreshed: new token expires " + field(fresh, "expiresAt"));

        HttpResponse<String> dead = session(field(old, "token"));
        String verdict = dead.statusCode() + " " + field(dead.body(), "errorCode");
        System.out.println("superseded token: " + verdict);
        check(verdict.equals("401 InvalidSession"), "the superseded token should be refused");

        int good = session(field(fresh, "token")).statusCode();
        System.out.println("new token: " + good);
        check(good == 200, "the new token should be good");
    }

    /** Posts, and returns the body of an answer that must be a success. */
    private static String exchange(String path, String body, String header, String value) throws Exception {
        HttpResponse<String> answer = post(path, body, header, value);
        String json = answer.body();
        check(field(json, "success").equals("true"),
                path + ": " + answer.statusCode() + " " + field(json, "errorCode") + ": " + field(json, "message"));
        return json;
    }

    private static HttpResponse<String> session(String token) throws Exception {
        return post("/v2/auth/session", "", "Authorization", "Bearer " + token);
    }

    private static HttpResponse<String> post(String path, String body, String header, String value) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(setting("PAWL_URL") + path))
                .timeout(Duration.ofSeconds(10))
                .header("Content-Type", "application/json")
                .header(header, value)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        return HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    }

    /** Reads one field of a JSON text; a real program should use a JSON library. */
    private static String field(String json, String name) {
        var match = Pattern.compile('"' + name + "\"\\s*:\\s*(\"(?:[^\"\\\\]|\\\\.)*\"|[^\\s,}]+)").matcher(json);
        check(match.find(), "the answer has no " + name);
        return match.group(1).replaceAll("^\"|\"$", "");
    }

    private static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    private static String setting(String name) {
        String value = System.getenv(name);
        check(value != null && !value.isEmpty(), name + " is not set");
        return value;
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }
}
