import { MAX_CONNECTIONS, MOSQUITTO_FILES } from './mosquitto.ts';

/**
 * What Mosquitto says of every message at its level `debug`. Held to the beginning of the line: no topic that a client
 * makes up can hide what is said of it.
 */
const ROUTINE = '^[0-9]+: (Received|Sending) (PUBLISH|PUBACK|PINGREQ|PINGRESP) ';

/** The directory has to be one that needs no quotes, see `isPlainPath`. */
const commandOf = (directory: string): string =>
  `exec mosquitto -c ${directory}/${MOSQUITTO_FILES.settings} ` +
  `2> >(exec grep --line-buffered -vE "${ROUTINE}" >&2)`;

/** Whether a path means the same to Mosquitto, to a shell and to systemd. */
export const isPlainPath = (path: string): boolean => /^\/[\w./-]*$/.test(path);

/** A unit of systemd that runs Mosquitto with the generated settings for mutual TLS. */
export const mosquittoUnit = (
  directory: string,
): string => `# Mosquitto for Paddock, written by \`paddock broker-config mosquitto --tls\`. To be put into /etc/systemd/system.
[Unit]
Description=Mosquitto for Paddock
Wants=network-online.target
After=network-online.target

[Service]
# It becomes the user mosquitto by itself, when it has read its key. What it says of every message stays out of the
# journal; who came, who went and what was denied is in there.
ExecStart=/bin/bash -c '${commandOf(directory)}'
# Reads the list of revoked certificates, the ACL and what it logs anew; no connection is closed for it.
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
# A file descriptor for each of max_connections, and not many more: whatever it counts, more clients there cannot be.
LimitNOFILE=${MAX_CONNECTIONS + 1_000}

[Install]
WantedBy=multi-user.target
`;
