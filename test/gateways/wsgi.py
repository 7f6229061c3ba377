# An API behind WSGI that returns the headers of each request under the names that WSGI gives them.
import json
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def api(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "application/json")])
    headers = {name[5:]: [value] for name, value in environ.items() if name.startswith("HTTP_")}
    return [json.dumps(headers).encode()]


make_server("127.0.0.1", int(sys.argv[1]), api, handler_class=Quiet).serve_forever()
