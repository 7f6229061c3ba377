package main

type storeCmd struct {
	Copy        storeCopyCmd        `cmd:"" help:"Copy everything from one store to another, with all servers stopped."`
	Backup      storeBackupCmd      `cmd:"" help:"Copy the embedded store to a file, while the server runs."`
	EndSessions storeEndSessionsCmd `cmd:"" help:"End every session of a store that was restored from a backup."`
}
