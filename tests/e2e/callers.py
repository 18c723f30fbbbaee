# SPDX-License-Identifier: Apache-2.0
"""Who calls a node over the network: authorities and what they sign, callers with access keys or
certificates, and every method that there is."""

import socket
import subprocess

import grpc

import node as e2e


class Authority:
    """A certificate authority of openssl's, with what it signs."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", self.path("key"), "-out", self.path("pem"))

    def path(self, end, name=None):
        return self.folder / f"{name or self.name}.{end}"

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)

    def sign(self, name, common_name, uris=(), days=2, hosts=("IP:127.0.0.1", "DNS:localhost")):
        """NAME.pem and NAME.key."""
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                     f"/CN={common_name}", "-keyout", self.path("key", name), "-out", self.path("csr", name))
        extensions = self.path("ext", name)
        names = [*hosts, *(f"URI:{uri}" for uri in uris)]
        extensions.write_text(f"subjectAltName = {', '.join(names)}\n")
        self.openssl("x509", "-req", "-in", self.path("csr", name), "-CA", self.path("pem"), "-CAkey",
                     self.path("key"), "-CAcreateserial", "-days", days, "-extfile", extensions, "-out",
                     self.path("pem", name))
        return self.path("pem", name), self.path("key", name)

    def revoke(self, *names, crl=None, days=2):
        """A CRL that has the certificates of these names, as a file."""
        home = self.folder / f"{self.name}-revoked"
        home.mkdir(exist_ok=True)
        index, number = home / "index.txt", home / "number"
        index.touch()
        if not number.exists():
            number.write_text("01\n")
        config = home / "openssl.cnf"
        config.write_text(f"[ca]\ndefault_ca = here\n[here]\ndatabase = {index}\ncrlnumber = {number}\n"
                          f"default_md = sha256\ncertificate = {self.path('pem')}\nprivate_key = {self.path('key')}\n"
                          "unique_subject = no\n")
        for name in names:
            self.openssl("ca", "-config", config, "-revoke", self.path("pem", name))
        crl = crl or self.path("crl")
        self.openssl("ca", "-config", config, "-gencrl", "-crldays", days, "-out", crl)
        return crl


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Caller:
    """Somebody on the network: a channel, and what they say about themselves."""

    def __init__(self, node, key=None, certificate=None, channel=None):
        self.node, self.protocol = node, node.protocol
        pair = {"private_key": certificate[1].read_bytes(), "certificate_chain": certificate[0].read_bytes()} \
            if certificate else {}
        self.channel = channel or grpc.secure_channel(node.tls, grpc.ssl_channel_credentials(
            node.ca.path("pem").read_bytes(), **pair), options=e2e.UNLIMITED)
        self.metadata = [("authorization", f"Mayfly {key.access_key.access_key_id}:{key.secret_access_key}")] \
            if key else []

    def call(self, path, request, response, streams=False):
        """The answer, or the Refusal."""
        make = self.channel.unary_stream if streams else self.channel.unary_unary
        method = make(path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=response.FromString)
        try:
            answer = method(request, metadata=self.metadata, timeout=60)
            return next(answer) if streams else answer
        except grpc.RpcError as error:
            return e2e.Refusal(self.protocol, error)

    def method(self, service, name, /, **fields):
        found = next(m for m in methods(self.protocol) if m.service == service and m.name == name)
        return self.call(found.path, found.request(**fields), found.response, found.streams)


class Method:
    def __init__(self, module, service, method):
        self.service, self.name = service.name, method.name
        self.path = f"/{service.full_name}/{method.name}"
        self.request = getattr(module, method.input_type.name)
        self.response = getattr(module, method.output_type.name)
        self.streams = method.name in ("InvokeStream", "Tail", "Watch", "Build", "Export")
        self.fields = set(method.input_type.fields_by_name)

    def about(self, tenant):
        """A request that would do something, were it let."""
        given = {"tenant": tenant, "function_name": "same", "user": "mallory", "log_group_name": "",
                 "access_key_id": "AKIA" + "A" * 16, "runtime": "python3.13", "template_id": "base-python3.13-128"}
        return self.request(**{k: v for k, v in given.items() if k in self.fields})


def methods(protocol):
    """Of every service there is."""
    modules = [module for name, module in sorted(vars(protocol).items())
               if not name.endswith("_grpc") and hasattr(module, "DESCRIPTOR")]
    return [Method(module, service, method) for module in modules
            for service in module.DESCRIPTOR.services_by_name.values() for method in service.methods]


def make_key(node, tenant, role, user="ann", **options):
    k = node.protocol.access_key
    return node.keys.Create(k.CreateAccessKeyRequest(tenant=tenant, user=user, role=k.Role.Value(f"ROLE_{role}"),
                                                     **options), timeout=30)


def wait_refused(caller):
    def refusal():
        answer = caller.method("FunctionService", "List")
        return answer if isinstance(answer, e2e.Refusal) else None
    return e2e.wait_until(refusal, 60, "a refusal")
