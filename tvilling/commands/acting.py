"""Acting as a citizen from the command line: with the passphrase, or through an open pod's custodian slot.

Either way the log says `operator-assisted`; a locked pod refuses without the passphrase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server.authentication.accounts import open_vault
from pod_server.identifiers import Actor
from pod_server.vault.vault import Vault, unlock_with_custodian
from tvilling.commands.frame import read_secret

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.opening import Pod

OPERATOR_ASSISTED = Actor("operator-assisted")


def vault_of(host: Host, pod: Pod, passphrase_file: str | None) -> Vault:
    """The pod's vault, opened with the passphrase where one is given, else through the custodian slot.

    Raises:
        WrongPassphrase: the passphrase is not the pod's.
        TooManyAttempts: too many wrong ones lately.
        PodLocked: the pod has no custodian slot, and no passphrase was given.
    """
    passphrase = read_secret(passphrase_file)
    if passphrase is not None:
        return open_vault(host, pod.handle, passphrase)
    return unlock_with_custodian(host.host_key, host.key_store, pod.pod_id)
