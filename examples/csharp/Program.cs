// Signs in, refreshes once, and shows that only the new token is valid.
using System.Net.Http.Json;

try
{
    using var http = new HttpClient { BaseAddress = new Uri(Setting("PAWL_URL")), Timeout = TimeSpan.FromSeconds(10) };

    var credentials = new { login = Setting("PAWL_LOGIN"), password = Setting("PAWL_PASSWORD") };
    var old = await Exchange(http, "/v2/auth/login", credentials);
    Console.WriteLine($"signed in as user {old.UserId}");

    var fresh = await Exchange(http, "/v2/auth/refresh", new { token = old.Token }, "X-API-Key", Setting("ECGRID_API_KEY"));
    Console.WriteLine($"refreshed: new token expires {fresh.ExpiresAt}");

    var (status, answer) = await Session(http, old.Token);
    Console.WriteLine($"superseded token: {status} {answer.ErrorCode}");
    Check(status == 401 && answer.ErrorCode == "InvalidSession", "the superseded token should be refused");

    (status, _) = await Session(http, fresh.Token);
    Console.WriteLine($"new token: {status}");
    Check(status == 200, "the new token should be good");
    return 0;
}
catch (Exception error)
{
    Console.Error.WriteLine($"Program.cs: {error.Message}");
    return 1;
}

// A post that must succeed; returns the answer's data.
static async Task<Grant> Exchange(HttpClient http, string path, object body, string header = "Accept", string value = "application/json")
{
    var (status, answer) = await Post(http, path, JsonContent.Create(body), header, value);
    Check(answer.Success, $"{path}: {status} {answer.ErrorCode}: {answer.Message}");
    return answer.Data ?? throw new InvalidOperationException($"{path}: the answer has no data");
}

static Task<(int, Envelope)> Session(HttpClient http, string token) =>
    Post(http, "/v2/auth/session", null, "Authorization", $"Bearer {token}");

static async Task<(int, Envelope)> Post(HttpClient http, string path, HttpContent? body, string header, string value)
{
    using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = body };
    request.Headers.Add(header, value);
    using var response = await http.SendAsync(request);
    var answer = await response.Content.ReadFromJsonAsync<Envelope>();
    return ((int)response.StatusCode, answer ?? throw new InvalidOperationException($"{path}: the answer is empty"));
}

static string Setting(string name)
{
    var value = Environment.GetEnvironmentVariable(name);
    Check(!string.IsNullOrEmpty(value), $"{name} is not set");
    return value!;
}

static void Check(bool holds, string otherwise)
{
    if (!holds) throw new InvalidOperationException(otherwise);
}

// The data of the session call is not used here.
record Envelope(bool Success, Grant? Data, string ErrorCode, string Message);

record Grant(string Token, string ExpiresAt, long UserId);
