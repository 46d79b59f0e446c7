"""Decides how nginx takes part: without any check, and with the same check as fastgw in Lua."""

from pathlib import Path

from cases import PROBLEM_JSON, REFUSALS, Refusal, keys
from processes import free_port

from peers.base import Launch, Peer, Site, on_path, output_of

HERE = Path(__file__).parent
MODULES = Path("/usr/lib/nginx/modules")
KEEP_ALIVE = 1_000_000_000  # requests per connection: never reached

MAIN = """
daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
{load_modules}
events {{ worker_connections 8192; }}
http {{
    access_log off;
    server_tokens off;
    default_type application/json;
    keepalive_timeout 3600s;
    keepalive_requests {keep_alive};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    proxy_http_version 1.1;
    {tls}
    upstream service {{
        server 127.0.0.1:{upstream_port};
        keepalive 256;
        keepalive_requests {keep_alive};
        keepalive_timeout 3600s;
    }}
    {body}
}}
"""

TLS = """
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    ssl_protocols TLSv1.2 TLSv1.3;
"""

REFUSE = """
    server {{
        listen 127.0.0.1:{port}{options};
        location / {{
            default_type {problem_json};
            {fields}
            return {status} '{text}';
        }}
    }}
"""

FORWARD = """
    server {{
        listen 127.0.0.1:{port}{options};
        location / {{
            {fields}
            proxy_set_header Connection "";
            proxy_pass http://service;
        }}
    }}
"""

CHECK = """
    lua_package_path "{lua_directory}/?.lua;/usr/share/lua/5.1/?.lua;;";
    lua_shared_dict keys {keys_mb}m;
    lua_shared_dict buckets {values_mb}m;
    lua_shared_dict balances {values_mb}m;
    lua_shared_dict captured {values_mb}m;
    init_by_lua_block {{
        require "resty.core"
        require("nginx_check").load("{keys_file}")
    }}
    server {{
        listen 127.0.0.1:{port}{options};
        location / {{
            access_by_lua_block {{ require("nginx_check").admit() }}
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
            {fields}
            proxy_pass http://service;
            log_by_lua_block {{ require("nginx_check").settle() }}
        }}
        {refused}
    }}
"""

FIELDS = """
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Request-Id $request_id;
"""


def _launch(site: Site, body: str, ports: dict[str, int], load_modules: str = "") -> Launch:
    config = site.directory / "nginx.conf"
    config.write_text(
        MAIN.format(
            workers=site.workers,
            directory=site.directory,
            load_modules=load_modules,
            keep_alive=KEEP_ALIVE,
            upstream_port=site.upstream_port,
            tls=TLS.format(certificate=site.certificate) if site.certificate else "",
            body=body,
        )
    )
    program = on_path("nginx")
    return Launch(
        [str(program), "-p", str(site.directory), "-e", str(site.directory / "error.log"), "-c", str(config)],
        ports,
    )


def _options(site: Site) -> str:
    """What a listener is beside its port."""
    return " reuseport" * (site.workers > 1) + " ssl" * (site.certificate is not None)


def _refused(mode: str, refusal: Refusal) -> str:
    """The location that answers one refusal; its extra header fields are set by the Lua check."""
    answer = f"default_type {PROBLEM_JSON}; return {refusal.status} '{refusal.body.decode()}';"
    return f"location @refused_{mode} {{ {answer} }}"


class NginxStatic(Peer):
    name = "nginx"
    title = "nginx, no checks"
    checks = "nothing; `return` and plain `proxy_pass`"
    modes = frozenset({"402", "429", "401", "proxy"})
    install = "apt-get install nginx-light"
    fields = ""

    def program(self) -> Path | None:
        return on_path("nginx")

    def version(self) -> str:
        return output_of("nginx", "-v").rpartition("/")[2] if self.program() else ""

    def prepare(self, site: Site) -> Launch:
        ports = {mode: free_port() for mode in (*REFUSALS, "proxy")}
        body = FORWARD.format(port=ports["proxy"], options=_options(site), fields=self.fields)
        for mode, refusal in REFUSALS.items():
            fields = "\n".join(f"add_header {name} '{value}' always;" for name, value in refusal.headers)
            body += REFUSE.format(
                port=ports[mode],
                options=_options(site),
                problem_json=PROBLEM_JSON,
                fields=fields,
                status=refusal.status,
                text=refusal.body.decode(),
            )
        return _launch(site, body, ports)


class NginxUnbuffered(NginxStatic):
    name = "nginx-unbuffered"
    title = "nginx, buffering off"
    checks = "nothing; `proxy_buffering off`"
    fields = "proxy_buffering off;"


class NginxLua(Peer):
    name = "nginx-lua"
    title = "nginx + Lua shared dict"
    checks = "key, token bucket, balance held and captured, in `ngx.shared`"
    modes = frozenset({"402", "429", "401", "proxy"})
    install = "apt-get install nginx-light libnginx-mod-http-lua"
    fields = ""

    def program(self) -> Path | None:
        return on_path("nginx") if (MODULES / "ngx_http_lua_module.so").exists() else None

    def version(self) -> str:
        package = output_of("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-http-lua")
        return f"nginx {NginxStatic().version()}, lua-nginx-module {package}"

    def prepare(self, site: Site) -> Launch:
        keys_file = site.directory / "keys"
        with keys_file.open("w") as file:
            file.writelines(f"{key} {kind}\n" for key, kind in keys(site.population))
        port = free_port()
        megabytes = 16 + site.population * 192 // 1_000_000
        body = CHECK.format(
            lua_directory=HERE,
            keys_mb=megabytes,
            values_mb=megabytes,
            keys_file=keys_file,
            fields=self.fields,
            port=port,
            options=_options(site),
            refused="\n".join(_refused(mode, refusal) for mode, refusal in REFUSALS.items()),
        )
        modules = "\n".join(
            f"load_module {MODULES / name};" for name in ("ndk_http_module.so", "ngx_http_lua_module.so")
        )
        return _launch(site, body, dict.fromkeys(self.modes, port), modules)


class NginxLuaFields(NginxLua):
    name = "nginx-lua+"
    title = "nginx + Lua, X-Forwarded"
    checks = "as nginx-lua, and sets the X-Forwarded fields and a request id, as fastgw does"
    modes = frozenset({"proxy"})
    fields = FIELDS
