"""What an application in another language does, with code generated from the proto files."""

import sys

import grpc
from minikms.v1 import kms_pb2 as pb
from minikms.v1 import kms_pb2_grpc as rpc

SCOPE = {"tenant_id": "org-test-001", "scope_id": "app-test-001"}

with grpc.insecure_channel(sys.argv[1]) as channel:
    kms = rpc.KMSServiceStub(channel)
    created = kms.CreateDataKey(pb.CreateDataKeyRequest(**SCOPE))
    print("created version", created.version)

    sealed = [
        kms.Encrypt(pb.EncryptRequest(**SCOPE, plaintext=f"secret-{i}".encode(), aad=f"aad-{i}")) for i in range(3)
    ]
    print("encrypted", len(sealed))
    opened = [
        kms.Decrypt(pb.DecryptRequest(**SCOPE, ciphertext=s.ciphertext, aad=f"aad-{i}")).plaintext.decode()
        for i, s in enumerate(sealed)
    ]
    print("decrypted", *opened)

    rotated = kms.RotateDataKey(pb.RotateDataKeyRequest(**SCOPE))
    assert rotated.new_key_version_id != created.key_version_id
    new = kms.Encrypt(pb.EncryptRequest(**SCOPE, plaintext=b"new"))
    assert new.key_version_id == rotated.new_key_version_id
    assert kms.Decrypt(pb.DecryptRequest(**SCOPE, ciphertext=new.ciphertext)).plaintext == b"new"
    old = kms.Decrypt(pb.DecryptRequest(**SCOPE, ciphertext=sealed[0].ciphertext, aad="aad-0"))
    assert old.plaintext == b"secret-0"
    print("rotated, old and new decrypt")

    # Clients of the Go service read the ciphertext as text.
    text = new.ciphertext.decode("ascii")
    assert kms.Decrypt(pb.DecryptRequest(**SCOPE, ciphertext=text.encode())).plaintext == b"new"
    print("ciphertext as a string field: ok")

    items = [pb.BatchEncryptItem(plaintext=str(i).encode(), aad=str(i), reference=str(i)) for i in range(10)]
    batch = kms.BatchEncrypt(pb.BatchEncryptRequest(**SCOPE, items=items)).items
    back = kms.BatchDecrypt(
        pb.BatchDecryptRequest(
            **SCOPE, items=[pb.BatchDecryptItem(ciphertext=r.ciphertext, aad=r.reference) for r in batch]
        )
    ).items
    assert [r.plaintext for r in back] == [str(i).encode() for i in range(10)]
    print("batch of 10: ok")

    def refused(call):
        try:
            call()
        except grpc.RpcError as error:
            code = dict(error.trailing_metadata())["minikms-code"]
            return f"{error.code().name} {code}"
        return "answered"

    print("wrong aad:", refused(lambda: kms.Decrypt(pb.DecryptRequest(**SCOPE, ciphertext=new.ciphertext, aad="x"))))
    other = {"tenant_id": "org-test-001", "scope_id": "nowhere"}
    print("unknown scope:", refused(lambda: kms.Decrypt(pb.DecryptRequest(**other, ciphertext=new.ciphertext))))
