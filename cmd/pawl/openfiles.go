package main

import "log/slog"

// ownFiles are the open files that a server needs besides its clients: those of the store, and the connections to the
// database, to receivers and for metrics.
const ownFiles = 256

// allowedConnections returns how many connections a server may accept: wanted, or fewer if the system does not permit
// so many open files. Without a file for a new connection, the server could not replace an idle one, and clients with
// idle connections could shut others out. A wanted of 0, no limit, stays.
func allowedConnections(wanted int, log *slog.Logger) int {
	files := maxOpenFiles()
	permitted := files - min(files/4, ownFiles)
	if files == 0 || wanted <= permitted {
		return wanted
	}
	log.Warn("fewer connections than configured, because of the limit of open files; raise it (ulimit -n, LimitNOFILE)",
		"connections", permitted, "configured", wanted, "files", files)
	return permitted
}
