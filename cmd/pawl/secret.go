package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/pawlauth/pawl/api"
)

// readSecret reads a secret: on a terminal behind a prompt and without echo, else one line of standard input. In the
// prompt and in errors, what is its name.
func readSecret(ctx context.Context, std stdio, what string) (string, error) {
	if !isTerminal(std.in) {
		return readLine(ctx, std.in, what)
	}
	return promptSecret(ctx, std, strings.ToUpper(what[:1])+what[1:]+": ")
}

// readNewSecret reads a secret that is not set yet. On a terminal it asks twice, because nothing shows a typing error.
func readNewSecret(ctx context.Context, std stdio, what string) (string, error) {
	secret, err := readSecret(ctx, std, what)
	if err != nil || !isTerminal(std.in) {
		return secret, err
	}
	again, err := promptSecret(ctx, std, "Repeat it: ")
	if err != nil {
		return "", err
	}
	if again != secret {
		return "", fmt.Errorf("the two inputs differ, so nothing was changed; run the command again")
	}
	return secret, nil
}

// readLine reads one line with a secret.
func readLine(ctx context.Context, in io.Reader, what string) (string, error) {
	input := untilDone(ctx, in)
	defer input.Close()
	line, err := bufio.NewReader(io.LimitReader(input, api.MaxBodyBytes)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("cannot read standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usagef("send the %s on standard input, as one line", what)
	}
	return line, nil
}

// promptSecret asks on the terminal of standard input. When ctx ends, it restores the echo of the terminal; the read
// itself leaks until it returns.
func promptSecret(ctx context.Context, std stdio, prompt string) (string, error) {
	terminal := int(std.in.(*os.File).Fd())
	state, err := term.GetState(terminal)
	if err != nil {
		return "", fmt.Errorf("cannot read the terminal: %w", err)
	}
	fmt.Fprint(std.err, prompt)
	type input struct {
		text []byte
		err  error
	}
	done := make(chan input, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		done <- input{text: text, err: err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(terminal, state)
		fmt.Fprintln(std.err)
		return "", ctx.Err()
	case got := <-done:
		fmt.Fprintln(std.err) // the terminal did not echo the line break
		if got.err != nil && got.err != io.EOF {
			return "", fmt.Errorf("cannot read the terminal: %w", got.err)
		}
		if len(got.text) == 0 {
			return "", errors.New("the input is empty, so nothing was changed; run the command again")
		}
		return string(got.text), nil
	}
}

// askFirst asks for a confirmation on the terminal of standard input. Without a terminal, yes must be set.
func askFirst(ctx context.Context, std stdio, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(std.in) {
		return usagef("this cannot be undone, and standard input is no terminal to ask on; give --yes to do it")
	}
	fmt.Fprintf(std.err, "%s Type yes to continue: ", question)
	input := untilDone(ctx, std.in)
	defer input.Close()
	answer, err := bufio.NewReader(io.LimitReader(input, 64)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("cannot read the terminal: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
