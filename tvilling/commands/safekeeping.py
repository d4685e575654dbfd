"""`tvilling backup`, `restore`: keeping a host's data and keys safe, and putting them back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from tvilling.commands.frame import Frame, command


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--with-host-key",
    is_flag=True,
    help="Copy the host key and the epoch key too: whoever has the backup opens the open pods, for ever.",
)
@command
def backup(frame: Frame, *, folder: Path, with_host_key: bool) -> None:
    """Copy data and keys to DIR/data and DIR/keys, also while the server runs."""
    from tvilling.app import epoch_keys_folder, host_key_path  # noqa: PLC0415
    from tvilling.backup import KEEP_KEYS_DAYS, take_backup  # noqa: PLC0415

    settings = frame.settings()
    with frame.host() as host:
        manifest = take_backup(host, settings, folder.absolute(), with_host_key=with_host_key)
    if with_host_key:
        of_the_host_key = "The host key and the epoch key are in the backup: whoever has it opens every open pod. Keep it like the keys."
        of_the_keys = f"Delete {folder / 'keys'} after {KEEP_KEYS_DAYS} days: it would bring erased keys back. The data may be kept."
    else:
        of_the_host_key = (
            f"The host key is NOT in the backup, nor are the epoch keys. Keep a copy of {host_key_path(settings)} and of "
            f"{epoch_keys_folder(settings)} apart from it: without them the backup cannot be restored."
        )
        of_the_keys = (
            f"{folder / 'keys'} opens nothing after {KEEP_KEYS_DAYS} days, when its epoch's key is destroyed; replace your "
            "copy of the epoch keys each time, and keep no older one. The data may be kept."
        )
    frame.answer(
        {
            "folder": str(folder),
            "taken": manifest.taken,
            "files": {name: size for name, (size, _) in manifest.files.items()},
            "host_key": manifest.host_key,
            "host_key_copied": with_host_key,
            "notes": [of_the_host_key, of_the_keys],
        },
        f"Backed up to {folder}.\n{of_the_host_key}\n{of_the_keys}",
    )


@click.command("restore")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="DIR")
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=None,
    help="Another folder with the newest copy of the key store.",
)
@click.option(
    "--host-key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="The host key's file.",
)
@click.option(
    "--epoch-keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=None,
    help="A folder with a copy of the epoch keys.",
)
@click.option("--force", is_flag=True, help="Replace what is in the data folder; it is moved aside.")
@command
def restore(
    frame: Frame, *, folder: Path, keys: Path | None, host_key: Path | None, epoch_keys: Path | None, force: bool
) -> None:
    """Put a backup into the data folder: data of any age, and the newest key store of those at hand."""
    from tvilling.backup import read_manifest  # noqa: PLC0415
    from tvilling.restore import restore as put_back  # noqa: PLC0415

    settings = frame.settings()
    if frame.base_url is None and not (settings.run_folder / "settings.json").exists():
        settings = dataclasses.replace(settings, base_url=read_manifest(folder).base_url)
    done = put_back(
        settings,
        folder.absolute(),
        keys=keys.absolute() if keys else None,
        host_key_file=host_key.absolute() if host_key else None,
        epoch_keys=epoch_keys.absolute() if epoch_keys else None,
        force=force,
    )
    words = [f"{done.pods} pods restored as of {done.taken}; each log says so."]
    if done.erased_again:
        words.append(f"{done.erased_again} grants that were erased since are erased again.")
    if done.removed_again:
        words.append(f"Citizens removed since stay removed: {', '.join(done.removed_again)}.")
    if done.carried_over is None:
        words.append(
            "What was replaced could not be read, or nothing was there: consents withdrawn since the backup stand as "
            "they stood then. Tell the citizens."
        )
    elif done.carried_over:
        words.append(f"{done.carried_over} consents keep the state they had before the restore.")
    if not Path(done.host_key).is_relative_to(settings.data):
        words.append(f"The host key stays where it is: start with tvilling serve --host-key {done.host_key}")
    if done.set_aside:
        words.append(f"What was there lies in {done.set_aside}; delete it once nobody needs it.")
    frame.answer(dataclasses.asdict(done), "\n".join(words))


@click.command("move")
@click.option("--to-database", default=None, metavar="URL", help="The empty PostgreSQL database that the rows go to.")
@click.option("--to-keys", default=None, metavar="URL", help="The PostgreSQL database that the key store goes to.")
@click.option("--to-files", is_flag=True, help="Bring data and keys from PostgreSQL back into the data folder.")
@command
def move(frame: Frame, *, to_database: str | None, to_keys: str | None, to_files: bool) -> None:
    """Move a host's data from the folder to PostgreSQL, or back, with the server stopped."""
    from tvilling.errors import SettingsError  # noqa: PLC0415
    from tvilling.moving import move_to_files, move_to_servers  # noqa: PLC0415

    if to_files == (to_database is not None):
        raise SettingsError("say where to: --to-database URL (and --to-keys URL for several machines), or --to-files")
    if to_database is not None:
        done = move_to_servers(frame.settings(), database_url=to_database, keys_url=to_keys)
    else:
        done = move_to_files(frame.settings())
    frame.answer(
        dataclasses.asdict(done),
        f"{done.pods} pods moved ({done.rows} rows). Left behind until you delete it: {', '.join(done.left)}.",
    )
