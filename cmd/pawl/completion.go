package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints a small script for a shell. The script calls the hidden command complete, so that it always
// matches the binary. The completion libraries for kong date from before 2024, and none supports PowerShell.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"Shell (${enum})."`
}

func (*completionCmd) Help() string {
	return `Example:
  pawl completion bash > /etc/bash_completion.d/pawl
  pawl completion zsh > ~/.zfunc/_pawl
  pawl completion fish > ~/.config/fish/completions/pawl.fish
  pawl completion powershell >> $PROFILE`
}

//go:embed completion
var completionScripts embed.FS

func (c *completionCmd) Run(std stdio) error {
	script, err := completionScripts.ReadFile("completion/pawl." + c.Shell)
	if err == nil {
		_, err = std.out.Write(script)
	}
	return err
}

// completeCmd prints the candidates for the last word, one on each line. If there are none, the shell offers files.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"all" help:"The words so far, without the name of the program."`
}

func (c *completeCmd) Run(parsed *kong.Context, std stdio) error {
	for _, word := range candidates(parsed.Model.Node, c.Words) {
		if _, err := fmt.Fprintln(std.out, word); err != nil {
			return err
		}
	}
	return nil
}

// candidates follows the commands among the words, and returns what may follow and begins with the last word.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var pending *kong.Flag // the flag whose value comes next
	for _, word := range words[:len(words)-1] {
		switch {
		case pending != nil:
			pending = nil
		case strings.HasPrefix(word, "-"):
			for _, flag := range visibleFlags(node) {
				if word == "--"+flag.Name && !flag.IsBool() {
					pending = flag
				}
			}
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word }); i >= 0 {
				node = node.Children[i]
			}
		}
	}
	var all []string
	switch {
	case pending != nil:
		all = pending.EnumSlice()
	case strings.HasPrefix(last, "-"):
		for _, flag := range visibleFlags(node) {
			all = append(all, "--"+flag.Name)
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				all = append(all, child.Name)
			}
		}
		for _, argument := range node.Positional {
			all = append(all, argument.EnumSlice()...)
		}
	}
	return slices.DeleteFunc(all, func(word string) bool { return word == "" || !strings.HasPrefix(word, last) })
}

// visibleFlags returns the flags of a node, of the nodes above it, and of its default command, without hidden ones.
func visibleFlags(node *kong.Node) []*kong.Flag {
	if node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	return slices.Concat(node.AllFlags(true)...)
}
