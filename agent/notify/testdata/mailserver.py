# A mail server by aiosmtpd: port, cert, key, mode (starttls, tls, none), mailbox.
# It asks for TLS and for a password, but in mode none, and refuses a mail that
# says "poison".
import asyncio, ssl, sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

port, cert, key, mode, mailbox = int(sys.argv[1]), *sys.argv[2:6]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(cert, key)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        if b"poison" in envelope.content:
            return "554 5.6.0 not this one"
        with open(mailbox, "ab") as f:
            head = "%s %s %s\r\n" % (envelope.mail_from, ",".join(envelope.rcpt_tos), session.host_name)
            f.write(head.encode() + envelope.content + b"\r\n=====\r\n")
        return "250 2.0.0 taken"


def authenticator(server, session, envelope, mechanism, data):
    ok = data.login == b"twinbeat" and data.password == b"s3cret of mail"
    return AuthResult(success=ok, handled=False)


class Server(Controller):
    def factory(self):
        return SMTP(Handler(), tls_context=context if mode == "starttls" else None, require_starttls=mode == "starttls",
                    auth_required=mode != "none", auth_require_tls=mode == "starttls", authenticator=authenticator,
                    auth_exclude_mechanism=["PLAIN"] if "login" in sys.argv[6:] else [])


server = Server(Handler(), hostname="127.0.0.1", port=port, ssl_context=context if mode == "tls" else None)
server.start()
print("ready", flush=True)
sys.stdin.read()
