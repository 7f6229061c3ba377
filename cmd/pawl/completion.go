package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints a small script for a shell; the script asks the hidden
// command complete, so it is never behind the binary. The libraries for kong are
// from before 2024, and none knows PowerShell.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"Which shell: ${enum}."`
}

func (*completionCmd) Help() string {
	return "Example:\n  pawl completion bash > /etc/bash_completion.d/pawl\n  pawl completion zsh > ~/.zfunc/_pawl\n" +
		"  pawl completion fish > ~/.config/fish/completions/pawl.fish\n  pawl completion powershell >> $PROFILE"
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

// completeCmd prints what may stand in the place of the last word, one to a
// line. Nothing printed leaves it to the shell, which offers files.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"all" help:"The words so far, without the program's name."`
}

func (c *completeCmd) Run(parsed *kong.Context, std stdio) error {
	for _, word := range candidates(parsed.Model.Node, c.Words) {
		if _, err := fmt.Fprintln(std.out, word); err != nil {
			return err
		}
	}
	return nil
}

// candidates walks down the commands that are named, and returns what may follow
// them and begins as the last word does.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	typed, last := words[:len(words)-1], words[len(words)-1]
	var value *kong.Flag // the flag whose value comes next
	for _, word := range typed {
		switch {
		case value != nil:
			value = nil
		case strings.HasPrefix(word, "-"):
			value = flagWithValue(node, word)
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word }); i >= 0 {
				node = node.Children[i]
			}
		}
	}
	if value != nil {
		return matching(value.EnumSlice(), last)
	}
	return matching(following(node, strings.HasPrefix(last, "-")), last)
}

// flagWithValue is the flag that a word names, if its value is another word.
func flagWithValue(node *kong.Node, word string) *kong.Flag {
	for _, flag := range allFlags(node) {
		if word == "--"+flag.Name && !flag.IsBool() {
			return flag
		}
	}
	return nil
}

// following are a node's flags, or its commands and the words that its arguments
// may be.
func following(node *kong.Node, flags bool) (words []string) {
	if flags {
		for _, flag := range allFlags(node) {
			words = append(words, "--"+flag.Name)
		}
		return words
	}
	for _, child := range node.Children {
		if !child.Hidden {
			words = append(words, child.Name)
		}
	}
	for _, argument := range node.Positional {
		words = append(words, argument.EnumSlice()...)
	}
	return words
}

// allFlags are those that are shown, of a node and of those above it.
func allFlags(node *kong.Node) []*kong.Flag { return slices.Concat(node.AllFlags(true)...) }

func matching(words []string, start string) []string {
	return slices.DeleteFunc(words, func(word string) bool { return word == "" || !strings.HasPrefix(word, start) })
}
