// The HttpClient of the JDK as it comes: over http:// it offers Upgrade: h2c with every request.
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.*;
import java.util.regex.*;
import java.util.stream.Collectors;

public class Jdk {
  static final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
  static final Pattern CONTENT = Pattern.compile("\"content\":\\s*\"((?:[^\"\\\\]|\\\\.)*)\"");
  static final Pattern COUNTS = Pattern.compile("\"prompt_tokens\":\\s*(\\d+),\\s*\"completion_tokens\":\\s*(\\d+)");

  static String quoted(String text) {
    return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n").replace("\r", "") + "\"";
  }

  static HttpRequest request(String base, String key, String model, boolean stream) {
    String body = "{\"model\":" + quoted(model) + ",\"stream\":" + stream + ",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}";
    return HttpRequest.newBuilder(URI.create(base + "/chat/completions")).timeout(Duration.ofSeconds(20))
        .header("Authorization", "Bearer " + key).header("Content-Type", "application/json")
        .POST(BodyPublishers.ofString(body)).build();
  }

  static String error(int status, String body) {
    return "{\"error\":{\"class\":\"status\",\"status\":" + status + ",\"message\":" + quoted(body) + "},\"deltas\":[]}";
  }

  static String plain(HttpRequest request) throws Exception {
    HttpResponse<String> answer = client.send(request, BodyHandlers.ofString());
    if (answer.statusCode() != 200) return error(answer.statusCode(), answer.body());
    Matcher content = CONTENT.matcher(answer.body()), counts = COUNTS.matcher(answer.body());
    content.find();
    counts.find();
    return "{\"text\":\"" + content.group(1) + "\",\"usage\":[" + counts.group(1) + "," + counts.group(2) + "],\"deltas\":[]}";
  }

  static String stream(HttpRequest request, boolean leaves) throws Exception {
    HttpResponse<java.util.stream.Stream<String>> answer = client.send(request, BodyHandlers.ofLines());
    List<String> deltas = new ArrayList<>();
    if (answer.statusCode() != 200) return error(answer.statusCode(), answer.body().collect(Collectors.joining("\n")));
    String failed = null, usage = "null";
    try (var lines = answer.body()) {
      for (var each = lines.iterator(); each.hasNext();) {
        String line = each.next();
        if (line.startsWith("data: ") && line.contains("\"error\":{")) failed = line;
        Matcher content = CONTENT.matcher(line), counts = COUNTS.matcher(line);
        if (failed == null && content.find() && !content.group(1).isEmpty()) deltas.add("\"" + content.group(1) + "\"");
        if (counts.find()) usage = "[" + counts.group(1) + "," + counts.group(2) + "]";
        if (leaves && !deltas.isEmpty()) break;
      }
    }
    String told = "\"deltas\":[" + String.join(",", deltas) + "]";
    if (failed != null) return "{\"error\":{\"class\":\"event\",\"status\":null,\"message\":" + quoted(failed) + "}," + told + "}";
    String text = deltas.stream().map(delta -> delta.substring(1, delta.length() - 1)).collect(Collectors.joining());
    return "{\"text\":\"" + text + "\",\"usage\":" + usage + "," + told + "}";
  }

  // Lines of "name call base key model", parted by tabs.
  public static void main(String[] arguments) throws Exception {
    List<String> seen = new ArrayList<>();
    for (String line : new String(System.in.readAllBytes()).split("\n")) {
      String[] part = line.split("\t");
      HttpRequest request = request(part[2], part[3], part[4], !part[1].equals("plain"));
      String told;
      try {
        told = part[1].equals("plain") ? plain(request) : stream(request, part[1].equals("cancel"));
      } catch (Exception problem) {
        told = "{\"error\":{\"class\":" + quoted(problem.getClass().getName()) + ",\"status\":null,\"message\":" + quoted("" + problem) + "},\"deltas\":[]}";
      }
      seen.add(quoted(part[0]) + ":" + told);
    }
    System.out.println("\n{" + String.join(",", seen) + "}");
    System.exit(0);
  }
}
